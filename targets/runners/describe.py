"""What a model file takes and gives, asked of another process that may crash or hang.

    python3 -s -E describe.py MODEL.onnx|MODEL.ort|MODEL.pte [SECONDS [MEMORY_MIB]]

Prints one JSON object: what was found, or in `refused` why there is nothing to find.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

from children import ending
from describing import REFUSED

SCRIPTS = {
    ".onnx": "describe_onnxruntime.py",
    ".ort": "describe_onnxruntime.py",
    ".pte": "describe_executorch.py",
}
READING_S = 60
"""Processor time that a runtime may take to read a file."""
BY_THE_CLOCK = 2
"""How many times that it may take in all."""


class UnreadableError(Exception):
    """A file could not be read; the text says why."""


def described(path, seconds=READING_S, memory_mib=0, script=None):
    """Return what the script for a file's ending says of it."""
    path = Path(path)
    script = Path(__file__).with_name(script or SCRIPTS[path.suffix])
    words = [str(script), str(path), str(seconds), str(memory_mib)]
    command = [sys.executable, "-s", "-E", *words]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, timeout=BY_THE_CLOCK * seconds
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableError(f"no answer in {BY_THE_CLOCK * seconds} s.") from error
    if done.returncode:
        raise UnreadableError(objection(done, seconds))
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise UnreadableError("the process that read it gave no answer.") from error


def objection(done, seconds):
    """Return why a file could not be read, by how the process ended that read it."""
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    if done.returncode == REFUSED and last:
        return last[0]
    if done.returncode == -signal.SIGXCPU:
        return f"it was still being read after {seconds} s of processor time."
    how = ending(done.returncode)
    return " ".join([f"the process that read it {how}.", *(f"It wrote last: {it}" for it in last)])


def main():
    """Print what is found, or why nothing is."""
    try:
        found = described(sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:5])
    except UnreadableError as error:
        found = {"refused": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
