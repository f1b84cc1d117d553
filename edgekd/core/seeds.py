"""A stable sub-seed per name, so that adding a use of chance moves no other."""

import hashlib


def sub_seed(seed: int, *names: object) -> int:
    """Return a seed in [0, 2**63) that depends on `seed` and every name, on nothing else."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
