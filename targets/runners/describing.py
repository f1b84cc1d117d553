"""The process that opens a file somebody else made, to say what is in it.

    python3 -s -E describe_RUNTIME.py FILE SECONDS MEMORY_MIB

Reading such a file can crash the runtime or keep it busy for ever: this process may, the one that
asked goes on. It prints one JSON object. Exit status 3 says that the last line of the error stream
is what the runtime objected.
"""

import json
import os
import sys

import limits

REFUSED = 3
WRITTEN_MIB = 16
LONGEST = 400


def plain(text):
    """Return text on one line, without what would move a terminal, and not too long."""
    words = "".join(c if c.isprintable() else " " for c in text.replace("*", " ")).split()
    return " ".join(words)[:LONGEST]


def answer(described):
    """Print what `described` returns for the file that the command line names."""
    path, seconds, memory_mib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    limits.confine(memory_mib=memory_mib, seconds=seconds, written_mib=WRITTEN_MIB)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the runtime prints is no answer
    try:
        found = described(path)
    except Exception as error:  # the exceptions of runtimes share no other ancestor
        print(plain(f"{error}") or type(error).__name__, file=sys.stderr)
        sys.exit(REFUSED)
    print(json.dumps(found), file=answers, flush=True)
