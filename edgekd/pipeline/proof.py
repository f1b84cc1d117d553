"""What must be the same on every machine that makes results of one run.

    python -P -m edgekd.pipeline.proof torch numpy

prints it as JSON. What a result's key says of code and libraries was read on the parent's machine.
"""

import importlib.metadata
import json
import sys
from collections.abc import Iterable

from edgekd.pipeline.code import installed, package_digest

ABSENT = "not installed"


def proof(distributions: Iterable[str]) -> dict[str, str]:
    """Return the digest of edgekd's source and what is installed of each distribution."""
    return {"edgekd": package_digest()} | {name: _installed(name) for name in distributions}


def _installed(name: str) -> str:
    try:
        return installed(name)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


if __name__ == "__main__":
    sys.stdout.write(json.dumps(proof(sys.argv[1:])))
