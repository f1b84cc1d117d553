"""Headers and libraries of a runtime: of the installed package, or of another machine's wheel."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from edgekd.core.errors import Problem, RequestError

INSIDE = re.compile(r"[\w/.+-]+")
"""What the names of the files that are taken from a wheel look like."""
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")


@dataclass(frozen=True)
class Package:
    """A folder with `include/` and `lib/`."""

    root: Path
    version: str

    def check(self, libraries: Sequence[str]) -> None:
        """Raise RequestError where it lacks what a runner is linked against."""
        lacking = [n for n in libraries if not (self.root / f"lib/lib{n}.so").is_file()]
        if lacking or not (self.root / "include").is_dir():
            what = ", ".join(f"lib{name}.so" for name in lacking) or "include"
            message = f"{self.root.name} {self.version} has no {what} to build a runner with."
            raise _problem(message, "Take a wheel of 1.5 or newer, as PyPI has them.")


def installed(name: str) -> Package:
    """Return the package as it is installed here; RequestError where it is not."""
    from importlib.metadata import PackageNotFoundError

    try:
        found = distribution(name)
    except PackageNotFoundError as error:
        message = f"{name} is not installed here, whose headers and libraries the runner takes."
        step = f"Install it (pip install {name}), or give its wheel: --wheel FILE.whl"
        raise _problem(message, step) from error
    return Package(Path(str(found.locate_file(name))), found.version)


def unpacked(wheel: Path, name: str, arch: str, into: Path) -> Package:
    """Return the package of a wheel file; RequestError where it is another one or none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            about = {Path(n).name: n for n in archive.namelist() if _is_about(n)}
            metadata = _fields(archive.read(about["METADATA"]).decode())
            tags = _fields(archive.read(about["WHEEL"]).decode())
            _check(wheel, metadata, tags.get("Tag", ""), name, arch)
            for entry in archive.namelist():
                if entry.startswith((f"{name}/include/", f"{name}/lib/")) and _safe(entry):
                    archive.extract(entry, into)
    except (OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        message = f"{wheel} cannot be read as a wheel: {error}."
        step = f"Fetch it anew: {by_hand(name, '', arch)}"
        raise _problem(message, step, "--wheel") from error
    return Package(into / name, metadata.get("Version", ""))


def _is_about(entry: str) -> bool:
    folder, _, file = entry.partition("/")
    return folder.endswith(".dist-info") and file in ("METADATA", "WHEEL")


def _safe(entry: str) -> bool:
    """Tell whether a name stays in its folder; that of a wheel as it should be does."""
    return INSIDE.fullmatch(entry) is not None and ".." not in entry.split("/")


def _fields(text: str) -> dict[str, str]:
    """Return the fields of the head of such a file; of those that repeat, the last."""
    head = text.split("\n\n", maxsplit=1)[0]
    pairs = (line.partition(": ") for line in head.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _check(wheel: Path, metadata: dict[str, str], tag: str, name: str, arch: str) -> None:
    """Refuse a wheel of something else, or for other machines."""
    if metadata.get("Name", "").lower() != name:
        message = f"{wheel.name} is a wheel of {metadata.get('Name')}, not of {name}."
        raise _problem(message, f"Fetch it: {by_hand(name, '', arch)}", "--wheel")
    if not tag.endswith(f"_{arch}"):
        message = f"{wheel.name} is for {tag.rpartition('-')[2]}, not for {arch}."
        raise _problem(message, f"Fetch it: {by_hand(name, '', arch)}", "--wheel")


def download(name: str, version: str, arch: str, into: Path) -> Path:
    """Return the wheel that pip finds for another machine; RequestError where it finds none."""
    command = [sys.executable, "-m", "pip", *_words(name, version, arch), "-d", str(into)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = sorted(into.glob("*.whl"))
    if done.returncode or not found:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        message = f"pip finds no wheel of {name} {version} for {arch}:\n{last}"
        step = (
            f"Where there is a network: {by_hand(name, version, arch)}\n"
            "Then give the file: edgekd runner build --wheel FILE.whl"
        )
        raise _problem(message, step)
    return found[-1]


def by_hand(name: str, version: str, arch: str) -> str:
    """Return the command that fetches a wheel for another machine."""
    return " ".join(["pip", *_words(name, version, arch)])


def _words(name: str, version: str, arch: str) -> list[str]:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    words = ["download", "--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    words += ["--python-version", python]
    for platform in PLATFORMS:
        words += ["--platform", f"{platform}_{arch}"]
    return [*words, f"{name}=={version}" if version else name]


def _problem(message: str, step: str, place: str = "") -> RequestError:
    return RequestError(Problem("", message, step, place))
