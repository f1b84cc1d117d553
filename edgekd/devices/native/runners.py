"""What runs programs on a device: scripts, and the C++ runners that were built for it."""

import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.core import kinds
from edgekd.core.artifact import digest_file, digest_json
from edgekd.core.errors import Problem, RequestError
from edgekd.core.shipped import shipped

if TYPE_CHECKING:
    from edgekd.devices.target import Target

NATIVE = "native"
"""Folder on a device, beside the scripts, with the C++ runners."""
SYSTEM = "system"
"""Folder of a runner with the C library that it was built with, for devices that have another."""
LOADER = f"{SYSTEM}/ld.so"
ABOUT = "about.json"
KEY_DIGITS = 12
FLAGS = (
    "-std=c++17",
    "-O2",
    "-DC10_USING_CUSTOM_GENERATED_MACROS",
    "-DET_EVENT_TRACER_ENABLED",
    "-DET_USE_THREADPOOL",
)
LIBRARIES = (
    "executorch",
    "executorch_kernels_optimized",
    "executorch_kernels_quantized",
    "executorch_backend_xnnpack",
    "executorch_threadpool",
)
"""Kernels and delegates register themselves when they are loaded; nothing refers to them."""
SYSTEM_LIBRARIES = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libgcc_s.so.1",
    "libstdc++.so.6",
)
"""What the runner and those take of a system with glibc."""


def sources(runtime: str) -> list[Path]:
    """Return the C++ files of a runtime's runner; none where it has no such runner."""
    folder = shipped("targets") / "runners" / runtime
    return sorted(path for path in folder.glob("*") if path.suffix in (".h", ".cpp"))


@dataclass(frozen=True)
class Build:
    """A C++ runner for one runtime, its version, and one machine."""

    runtime: str
    version: str
    arch: str
    """As `uname -m` says it."""

    @property
    def key(self) -> str:
        """A digest of all that it is made of."""
        code = {path.name: digest_file(path) for path in sources(self.runtime)}
        return digest_json([asdict(self), code, FLAGS, LIBRARIES, SYSTEM_LIBRARIES])[:KEY_DIGITS]

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return _cache() / f"{self.runtime}-{self.version}-{self.arch}-{self.key}"

    @property
    def program(self) -> str:
        """The name of its file."""
        return f"edgekd-{self.runtime}"

    @property
    def says(self) -> str:
        """What it answers when it is asked for its version."""
        return f"{self.version} (C++ runner {self.key})"

    def whole(self) -> bool:
        """Tell whether it is kept, and every file is as it was built."""
        try:
            about = json.loads((self.folder / ABOUT).read_text("utf-8"))
            return all(digest_file(self.folder / n) == d for n, d in about["files"].items())
        except (OSError, ValueError, KeyError):
            return False


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgekd" / "runners"


def installed_version(runtime: str) -> str:
    """Return the version of a runtime's package that programs are made by here, or nothing."""
    try:
        return version(runtime)
    except PackageNotFoundError:
        return ""


def find(runtime: str, arch: str) -> Build | None:
    """Return the runner that is kept for a machine.

    It is of the version that is installed here, or the newest one where none is.
    """
    if here := installed_version(runtime):
        build = Build(runtime, here, arch)
        return build if build.whole() else None
    kept = sorted(_kept(runtime, arch), key=lambda one: one.folder.stat().st_mtime_ns)
    return kept[-1] if kept else None


def _kept(runtime: str, arch: str) -> Iterator[Build]:
    """Yield the runners of any version that are kept, made of the source as it is now."""
    for about in _cache().glob(f"{runtime}-*-{arch}-*/{ABOUT}"):
        was = about.parent.name.removeprefix(f"{runtime}-").rpartition(f"-{arch}-")[0]
        build = Build(runtime, was, arch)
        if build.folder == about.parent and build.whole():
            yield build


def check(native: Sequence[str], arch: str, name: str = "NAME") -> Iterator[Problem]:
    """Yield the C++ runners that a target of this name takes and that were not built yet."""
    for runtime in native:
        if find(runtime, arch) is None:
            yield _unbuilt(runtime, arch, name)


def _unbuilt(runtime: str, arch: str, name: str = "NAME") -> Problem:
    of = " ".join(filter(None, (runtime, installed_version(runtime))))
    step = f"Build it once: edgekd runner build --target {name}"
    return Problem("", f"the C++ runner of {of} for {arch} is not built.", step)


def script(runtime: str) -> str:
    """Return the file of `targets/runners/` that loads programs of a runtime.

    One with a file `bench_<name>.py` there is not asked: its exporter needs torch, timing does not.
    """
    own = f"bench_{runtime}.py"
    if (shipped("targets") / "runners" / own).is_file():
        return own
    name: str = kinds.runtime.get(runtime).target.runner  # type: ignore[attr-defined]
    return name


def runner(runtime: str, native: Sequence[str], script: str) -> str:
    """Return the file that runs programs of a runtime on a device, beneath the scripts there."""
    return f"{NATIVE}/{runtime}/edgekd-{runtime}" if runtime in native else script


def bare_command(there: str, program: str) -> list[str]:
    """Return what starts a runner on a device that has no Python, and may have no glibc either.

    `program` is as `runner` returns it, beneath the folder `there`.
    """
    place = f"{there}/{program.rpartition('/')[0]}"
    libraries = f"{place}/{SYSTEM}:{place}/lib"
    options = ["--inhibit-cache", "--library-path", libraries]
    return [f"{place}/{LOADER}", *options, f"{there}/{program}"]


def copy_runners(target: "Target", here: Path) -> None:
    """Make a folder of all that a device needs beside programs: no scripts where it has no Python.

    RequestError where a C++ runner that it takes is not built.
    """
    here.mkdir(parents=True)  # no folders: one named as a runtime would be taken for its package
    for path in (shipped("targets") / "runners").iterdir():
        if path.is_file() and not target.bare:
            shutil.copyfile(path, here / path.name)
    arch = target.hardware.arch
    builds = {runtime: find(runtime, arch) for runtime in target.native}
    if lacking := [runtime for runtime, build in builds.items() if build is None]:
        raise RequestError(_unbuilt(runtime, arch) for runtime in lacking)
    for runtime, build in builds.items():
        assert build is not None
        left_out = None if target.bare else shutil.ignore_patterns(SYSTEM)
        shutil.copytree(build.folder, here / NATIVE / runtime, ignore=left_out)


def this_machine() -> str:
    """Return what this machine is, as `uname -m` says it."""
    return platform.machine()
