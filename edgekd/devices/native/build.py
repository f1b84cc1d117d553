"""Building a C++ runner: one compiler call, kept by what it was made of."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgekd.core.artifact import digest_file, sync
from edgekd.core.errors import Problem, RequestError, StageError
from edgekd.devices.native.runners import (
    ABOUT,
    FLAGS,
    LIBRARIES,
    LOADER,
    SYSTEM,
    SYSTEM_LIBRARIES,
    Build,
    bare_command,
    installed_version,
    sources,
    this_machine,
)
from edgekd.devices.native.wheel import Package, download, installed, unpacked

C10 = "include/executorch/runtime/core/portable_type/c10"
LOADER_INSIDE = re.compile(rb"\0(/[\w/.-]*/ld[\w.-]*\.so\.\d+)\0")
"""The program that an executable names to load it."""
ANSWER_S = 60


def build_runner(runtime: str, arch: str, wheel: Path | None) -> tuple[Build, bool]:
    """Return the runner for a machine, and whether it was built just now.

    RequestError says what of compiler, headers and libraries is missing; StageError what the
    compiler objected.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-runner-") as made:
        version = _version(runtime, wheel)
        if version and wheel is None and Build(runtime, version, arch).whole():
            return Build(runtime, version, arch), False
        compiler = _compiler(arch)
        package = _package(runtime, arch, wheel, Path(made))
        _check_version(runtime, package.version, wheel)
        package.check(LIBRARIES)
        build = Build(runtime, package.version, arch)
        if build.whole():
            return build, False
        _place(build, package, compiler)
    return build, True


def _version(runtime: str, wheel: Path | None) -> str:
    """Return the version that will be built, where that is known before a wheel is opened."""
    return installed_version(runtime) if wheel is None else ""


def _package(runtime: str, arch: str, wheel: Path | None, made: Path) -> Package:
    """Return headers and libraries for a machine."""
    if wheel is None and arch == this_machine():
        return installed(runtime)
    if wheel is None:
        wheel = download(runtime, installed_version(runtime), arch, made)
    return unpacked(wheel, runtime, arch, made / "package")


def _check_version(runtime: str, version: str, wheel: Path | None) -> None:
    """Refuse a runner of another version than the one that makes the programs here."""
    here = installed_version(runtime)
    if here and version != here:
        message = f"the wheel is {runtime} {version}, and programs are made by {here} here."
        raise RequestError(
            Problem("", message, f"Give the wheel of {runtime} {here}.", "--wheel" if wheel else "")
        )


def _compiler(arch: str) -> str:
    """Return the C++ compiler for a machine; RequestError where it is not installed."""
    native = arch == this_machine()
    name = os.environ.get("CXX", "g++") if native else f"{arch}-linux-gnu-g++"
    found = shutil.which(name)
    if found is None:
        package = "g++" if native else f"g++-{arch.replace('_', '-')}-linux-gnu"
        message = f"there is no C++ compiler for {arch} here: '{name}' is not found."
        raise RequestError(Problem("", message, f"Install it, on Debian: apt install {package}"))
    return found


def command(build: Build, package: Package, compiler: str, out: Path) -> list[str]:
    """Return what compiles and links a runner, its libraries in `lib/` beside it."""
    include = [f"-I{package.root / folder}" for folder in ("include", C10)]
    version = [f'-DEDGEKD_VERSION="{build.says}"']
    main = [str(path) for path in sources(build.runtime) if path.suffix == ".cpp"]
    kept = ["-Wl,--no-as-needed", *(f"-l{name}" for name in LIBRARIES), "-Wl,--as-needed"]
    linked = [f"-L{package.root / 'lib'}", *kept, "-lpthread", "-Wl,-rpath,$ORIGIN/lib"]
    linked += ["-Wl,--allow-shlib-undefined"]
    return [compiler, *FLAGS, *version, *include, *main, "-o", str(out), *linked]


def _place(build: Build, package: Package, compiler: str) -> None:
    """Compile, and put the runner with its libraries where it is kept."""
    build.folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=".half-", dir=build.folder.parent))
    try:
        _compile(command(build, package, compiler, half / build.program))
        (half / "lib").mkdir()
        for name in LIBRARIES:
            shutil.copyfile(package.root / f"lib/lib{name}.so", half / f"lib/lib{name}.so")
        here = build.arch == this_machine()
        if here:
            _try(build, [str(half / build.program)])
        _bring_system(build, compiler, half)
        if here:
            _try(build, bare_command(str(half), f"./{build.program}"))
        files = sorted(path for path in half.rglob("*") if path.is_file())
        digests = {str(path.relative_to(half)): digest_file(path) for path in files}
        about = {"compiler": _first_line(compiler), "files": digests}
        (half / ABOUT).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
        for path in [*files, half / ABOUT]:
            sync(path)
        half.chmod(0o755)
        if build.whole():  # another has just built it
            return
        shutil.rmtree(build.folder, ignore_errors=True)
        half.replace(build.folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _compile(words: list[str]) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        last = "\n".join(line for line in done.stderr.splitlines() if "error" in line.lower())
        raise StageError(
            f"{Path(words[0]).name} could not build the runner.",
            f"It wrote:\n{last or done.stderr[-1000:]}",
        )


def _bring_system(build: Build, compiler: str, folder: Path) -> None:
    """Put beside a runner the loader and the C library that it was built with."""
    asked = LOADER_INSIDE.search((folder / build.program).read_bytes())
    if asked is None:
        raise StageError(f"{Path(compiler).name} built a runner without a loader.")
    loader = Path(asked[1].decode())
    if build.arch != this_machine():
        loader = _library(compiler, loader.name)
    (folder / SYSTEM).mkdir()
    shutil.copyfile(loader, folder / LOADER)
    (folder / LOADER).chmod(0o755)
    for name in SYSTEM_LIBRARIES:
        shutil.copyfile(_library(compiler, name), folder / SYSTEM / name)


def _library(compiler: str, name: str) -> Path:
    """Return where a compiler has a library; StageError where it has none."""
    words = [compiler, f"-print-file-name={name}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    found = Path(done.stdout.strip())
    if not found.is_absolute():
        raise StageError(
            f"{Path(compiler).name} has no {name} to bring along.", "Is it a compiler for glibc?"
        )
    return found


def _try(build: Build, command: list[str]) -> None:
    """Have a runner for this machine say what it is."""
    try:
        done = subprocess.run(
            command,
            input='{"do": "version"}\n',
            check=False,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
        )
        said, last = done.stdout, "\n".join(done.stderr.strip().splitlines()[-3:])
    except (OSError, subprocess.TimeoutExpired) as error:
        said, last = "", str(error)
    if build.says not in said:
        raise StageError("the runner was built and does not start here.", f"It wrote:\n{last}")


def _first_line(compiler: str) -> str:
    """Return what a compiler says it is."""
    done = subprocess.run([compiler, "--version"], check=False, capture_output=True, text=True)
    return done.stdout.partition("\n")[0]
