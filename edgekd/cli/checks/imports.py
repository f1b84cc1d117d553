"""Whether the packages can be imported together, as a run does; in a process of their own."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekd.cli.checks.finding import Finding, fine, hint, wrong
from edgekd.core.endings import signal_name

MODULES = (
    "numpy",
    "torch",
    "torchao",
    "executorch.exir",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "torchvision",
    "transformers",
    "torch_pruning",
)
"""In the order of what rests on what: the first that fails is the cause of the others."""
OPTIONAL = ("torchvision",)
"""Not ours; transformers imports it where it is there, and one that does not fit breaks that."""
TIME_LIMIT_S = 120.0
CPU_BUILD = "PyTorch's build for the processor (its page 'Get Started' has the command)."
CURES = (
    (
        ("compiled using NumPy 1", "numpy.dtype size changed", "_ARRAY_API", "multiarray failed"),
        "It was built for another NumPy: pip install --force-reinstall --no-cache-dir {name}",
    ),
    (
        ("libcudart", "libcublas", "libcudnn", "libcuda.so", "libnvrtc"),
        f"Libraries of CUDA are missing. Without a GPU, install {CPU_BUILD}",
    ),
    (
        ("undefined symbol", "GLIBCXX", "GLIBC_", "cannot open shared object", "does not exist"),
        "It was built for another version of what it rests on: "
        "pip install --force-reinstall edgekd {name}",
    ),
)


@dataclass
class Probed:
    """What a process said that imported packages."""

    errors: dict[str, str] = field(default_factory=dict)
    """By module; empty where all went well."""
    about: dict[str, Any] = field(default_factory=dict)
    """`openmp` and `cuda`, where it came so far."""


def imports(modules: Sequence[str] = MODULES) -> Iterator[Finding]:
    """Yield every package that cannot be imported, what else is odd, and else that all can."""
    there = [m for m in modules if m not in OPTIONAL or importlib.util.find_spec(m)]
    points = _entry_points()
    probed = probe([*there, *points])
    for name, error in probed.errors.items():
        if error and name in points:
            yield wrong(f"plug-in {name}", error, f"Mend or remove the package {points[name]}.")
        elif error:
            yield wrong(name, error, _cure(name, error))
    if not any(probed.errors.values()):
        yield fine("imports", f"{len(there)} packages, {len(points)} plug-ins of other packages")
    if "cuda" in probed.about:
        yield from gpu(probed.about["cuda"])
        yield from openmp(probed.about["openmp"])


def probe(names: Sequence[str], time_limit_s: float = TIME_LIMIT_S) -> Probed:
    """Return how imports went, one after another in one process; a new one after each crash."""
    found, left = Probed(), list(names)
    while True:
        output, ended = _run(left, time_limit_s)
        started = ""
        for message in _messages(output):
            if "start" in message:
                started = message["start"]
            elif "done" in message:
                found.errors[message["done"]] = message["error"]
                started = ""
            else:
                found.about = message
        if not started:
            return found
        found.errors[started] = ended
        left = left[left.index(started) + 1 :]


def _run(names: Sequence[str], time_limit_s: float) -> tuple[str, str]:
    """Return what the process printed, and how it ended."""
    command = [sys.executable, "-P", "-W", "ignore", "-m", "edgekd.cli.checks.probe", *names]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=time_limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
        return text, f"it did not load within {time_limit_s:g} s"
    if done.returncode < 0:
        return done.stdout, f"it crashed with {signal_name(-done.returncode)}"
    return done.stdout, f"it ended the process with status {done.returncode}"


def _messages(output: str) -> Iterator[dict[str, Any]]:
    """Yield the lines that are ours: packages print too."""
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and {*message} & {"start", "done", "openmp"}:
            yield message


def _entry_points() -> dict[str, str]:
    """Return the plug-ins of other packages as the probe names them, with their packages."""
    points = importlib.metadata.entry_points()
    groups = [group for group in points.groups if group.startswith("edgekd.")]
    return {
        f"{point.group}:{point.name}": point.dist.name if point.dist else point.value
        for group in groups
        for point in points.select(group=group)
    }


def _cure(name: str, error: str) -> str:
    package = name.partition(".")[0].replace("_", "-")
    if name in OPTIONAL:
        return f"pip uninstall -y {package}: edgekd does not need it."
    for signs, cure in CURES:
        if any(sign in error for sign in signs):
            return cure.format(name=package)
    return f"pip install --force-reinstall {package}"


def gpu(cuda: Mapping[str, Any] | None, device: Path = Path("/dev/nvidiactl")) -> Iterator[Finding]:
    """Yield whether PyTorch and the GPU's driver go together."""
    if cuda is None:
        return
    there = device.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
    if cuda["usable"]:
        yield fine("GPU", f"usable, CUDA {cuda['built']}")
    elif cuda["built"] and there:
        yield wrong(
            "GPU",
            f"PyTorch is built for CUDA {cuda['built']} and cannot use the GPU: {cuda['error']}",
            "Update the NVIDIA driver, or install a PyTorch for the CUDA that it has "
            "(nvidia-smi says which). Until then: device: cpu.",
        )
    elif cuda["built"]:
        yield hint(
            "GPU",
            f"none, but PyTorch is built for CUDA {cuda['built']}",
            f"It computes on the processor. Smaller is {CPU_BUILD}",
        )
    elif there:
        yield hint(
            "GPU",
            "there is one, but PyTorch is built for the processor alone",
            "To train on it: pip install --force-reinstall torch (not from the cpu index).",
        )
    else:
        yield fine("GPU", "none, and PyTorch is built for the processor")


def openmp(libraries: Sequence[str]) -> Iterator[Finding]:
    """Yield that a process has several OpenMP libraries: threads fight for cores, or it hangs."""
    if len(libraries) < 2:
        return
    kinds = {Path(path).name[:6] for path in libraries}
    listed = " and ".join(libraries)
    cure = "Take PyTorch and NumPy from one place, pip or conda, not from both."
    if len(kinds) > 1:
        yield wrong("OpenMP", f"different ones in one process: {listed}", cure)
    else:
        yield hint("OpenMP", f"several copies in one process: {listed}", cure)
