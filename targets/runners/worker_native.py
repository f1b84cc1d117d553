"""Becomes the C++ runner of one program, which then answers what `worker.py` would.

The first line of the input is the job; it is told the runner on its command line, and this process
is replaced: nothing of Python is left in the one that is measured.
"""

import json
import os
import sys
from pathlib import Path

import limits


def words(job, program):
    """Return the runner's command line for a program; none where only its version is asked for."""
    if job["do"] == "identify":
        return []
    from command_line import said  # takes numpy

    return said(job, program, program["samples"])


def main():
    """Read the job, limit this process as `worker.py` does, and be replaced."""
    with os.fdopen(os.dup(0), "rb", buffering=0) as requests:  # takes not a byte beyond the line
        first = json.loads(requests.readline())
    program, told = first["program"], words(first["job"], first["program"])
    runner = Path(__file__).parent / program["runner"]
    limits.confine(**first["limits"])
    try:
        runner.chmod(0o700)
        os.execv(runner, [str(runner), *told])  # noqa: S606  (no shell is wanted)
    except OSError as error:
        print(f"the runner {runner.name} cannot be started here: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
