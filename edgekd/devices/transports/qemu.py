"""A root file system of another processor on this machine, its programs run by qemu's user mode.

It proves packaging, dispatch and numerics, and no latency: such a target says `emulated: true`.
Commands see that root alone (chroot, which takes the superuser); the kernel hands their programs to
the emulator (binfmt_misc).
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgekd.core.config import Config, Positive
from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import transport
from edgekd.core.shipped import shipped
from edgekd.devices.transports.local import Local, LocalTransport
from edgekd.devices.turn import Told, turn, unheard

PATH = "/usr/local/bin:/usr/bin:/bin"
ENV = "usr/bin/env"
ANSWER_S = 60
FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32"
CPUS = {
    "cortex-a53": ("0xd03", f"{FEATURES} cpuid"),
    "cortex-a72": ("0xd08", f"{FEATURES} cpuid"),
    "cortex-a76": ("0xd0b", f"{FEATURES} atomics fphp asimdhp cpuid asimdrdm asimddp"),
}
"""Part number and features as Linux tells them. Runtimes choose kernels by these, so that they must
be those of the processor that is emulated. Not qemu's `max`: with its SME (7.2), XNNPACK's int8
kernels answer wrongly."""
CORES = 2


class Qemu(Config):
    """Where the root is, and which processor is emulated."""

    root: str = Field(min_length=1)
    """Folder of the root file system; `~` is your home."""
    cpu: Literal["cortex-a53", "cortex-a72", "cortex-a76"] = "cortex-a76"
    """Processor that is emulated; it decides which kernels a runtime takes. Of these, cortex-a76
    alone has the instructions for int8 dot products. Targets may share a root."""
    python: str = Field(default="python3", min_length=1)
    """Interpreter in that root."""
    timeout_s: Positive = 7200
    """Longest time that one command may take, in seconds."""
    busy_s: Positive = 21600
    """How long to wait for others that measure on this machine, in seconds: other runs, and other
    targets of this one, of which each may take `timeout_s` at a time."""

    @property
    def place(self) -> Path:
        """The folder, absolute."""
        return Path(self.root).expanduser().absolute()


def check(config: Qemu) -> Iterator[Problem]:
    """Yield what this machine lacks to run programs of that root."""
    script = shipped("targets") / "qemu-arm64-root.sh"
    if os.geteuid() != 0:
        step = "Run edgekd as root, in a container say, or measure on a device."
        yield Problem("transport", "qemu enters a root folder, which only the superuser may.", step)
    elif not os.path.lexists(config.place / ENV):
        message = f"there is no root file system at {config.place}."
        yield Problem("transport.root", message, f"Make one: sh {script} {config.place}")
    elif _sees_kernel(config):
        message = f"{config.place}/proc is this machine's own, which tells of another processor."
        step = f"Unmount it: umount {config.place}/proc; plain files take its place there."
        yield Problem("transport.root", message, step)
    elif said := _objection(config):
        message = f"programs of {config.place} do not run here: {said}"
        step = (
            "Install the emulator: apt install qemu-user-static binfmt-support; "
            "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; "
            "update-binfmts --enable qemu-aarch64"
        )
        yield Problem("transport", message, step)


def _sees_kernel(config: Qemu) -> bool:
    """Tell whether the kernel's files are mounted there: ONNX Runtime would crash over them."""
    return (config.place / "proc/self").exists()


def _objection(config: Qemu) -> str:
    """Return why a program of the root does not run, or nothing."""
    try:
        words = [*_entered(config), "true"]
        done = subprocess.run(words, check=False, capture_output=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return "".join(last) or "no answer" if done.returncode else ""


def _describe_cpu(config: Qemu) -> None:
    """Write what the root is told of its processor: the kernel's own is that of this machine."""
    part, features = CPUS[config.cpu]
    core = (
        f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 1\n\n"
    )
    text = "".join(f"processor\t: {number}\n{core}" for number in range(CORES))
    (config.place / "proc").mkdir(exist_ok=True)
    (config.place / "proc/cpuinfo").write_text(text, "utf-8")


def _entered(config: Qemu) -> list[str]:
    """Return the words before a command, which then sees that root and a bare environment."""
    variables = [f"PATH={PATH}", "HOME=/tmp", f"QEMU_CPU={config.cpu}"]
    return ["chroot", str(config.place), f"/{ENV}", "-i", *variables]


@transport(config=Qemu, check=check)
class QemuTransport:
    """A working folder in the root's /tmp, removed with the object or with this process."""

    def __init__(self, config: Qemu):
        if problems := [*check(config)]:
            raise RequestError(problems)
        self.config, self.python = config, config.python
        self.told: Told = unheard
        here = config.place / "tmp"
        here.mkdir(exist_ok=True)
        self._outside = LocalTransport(Local(timeout_s=config.timeout_s, alone=False), here)

    def push(self, local: Path) -> str:
        """Copy a file or folder into the working folder; return its path in the root."""
        return f"/{Path(self._outside.push(local)).relative_to(self.config.place)}"

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file or folder back; what leaves the root by a link is not followed."""
        there = (self.config.place / remote.lstrip("/")).resolve()
        root = self.config.place.resolve()
        if not all(path.resolve().is_relative_to(root) for path in (there, *there.rglob("*"))):
            raise RequestError(Problem("transport", f"{remote} lies outside {self.config.place}."))
        self._outside.pull(str(there), local)

    def run(self, command: Sequence[str]) -> str:
        """Return what the command printed; errors as of `LocalTransport`."""
        with turn(self.config.busy_s, self.told):
            _describe_cpu(self.config)  # another target may have had another one emulated there
            return self._outside.run([*_entered(self.config), *command])
