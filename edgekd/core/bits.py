"""Many yes-or-no answers as a short text: a bit each, the first in the highest, in base64."""

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Sequence


def pack(answers: Sequence[bool]) -> str:
    """Return the text of some answers; empty of none."""
    bits = "".join("1" if answer else "0" for answer in answers)
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return b64encode(bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))).decode()


def unpack(text: str, count: int) -> list[bool] | None:
    """Return `count` answers; None where the text holds another number of them."""
    try:
        found = b64decode(text, validate=True)
    except (Error, ValueError):
        return None
    if len(found) != -(-count // 8):
        return None
    bits = "".join(f"{byte:08b}" for byte in found)
    return None if "1" in bits[count:] else [bit == "1" for bit in bits[:count]]
