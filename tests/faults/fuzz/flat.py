"""Structure-aware mutants of .pte files: the offsets, lengths and numbers of a flat buffer."""

import random

NUMBERS = (0, 1, 2, 4, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFC, 0x100, 0x10000)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the file with a few of its aligned numbers changed, mostly in its beginning."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        size = rng.choice([2, 4, 4, 4, 8])
        end = len(data) if rng.random() < 0.5 else min(len(data), 4096)
        at = size * rng.randrange(max(1, end // size))
        old = int.from_bytes(data[at : at + size], "little")
        new = rng.choice([*NUMBERS, old + 1, old - 1, old + 4, old * 2, old + len(data), -old])
        data[at : at + size] = (new % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data)
