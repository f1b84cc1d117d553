"""Files over a link: only what differs is sent, and what was cut goes on where it ended.

Digests are found in threads: the loop of all links has signs of life to give meanwhile.
"""

import asyncio
import hashlib
from pathlib import Path

from edgekd.core.artifact import digest_file
from edgekd.devices.link.link import Link

PIECE = 2**20
EXACT = 2
"""Times that a file may arrive altered before the device is not believed any more."""


async def push(link: Link, local: Path, there: str) -> None:
    """Send the files that are not there yet."""
    known = (await link.ask("files", path=there))["files"]
    files = [path for path in sorted(local.rglob("*")) if path.is_file()]
    for file in files if local.is_dir() else [local]:
        name = str(file.relative_to(local)) if local.is_dir() else ""
        if known.get(name) != (sha256 := await asyncio.to_thread(digest_file, file)):
            await _send(link, file, f"{there}/{name}" if name else there, sha256)


async def _send(link: Link, file: Path, there: str, sha256: str) -> None:
    """Send a file, from where it was cut the last time; its name tells which one it was."""
    part = f"{there}.{sha256[:16]}.part"
    for _ in range(EXACT):
        come = await link.ask("part", path=part)
        same = come["sha256"] == await asyncio.to_thread(_digest_of_first, file, come["bytes"])
        if not same:
            await link.ask("place", part=part, path=there, sha256="")
        await link.send(file, come["bytes"] if same else 0, part)
        if (await link.ask("place", part=part, path=there, sha256=sha256))["whole"]:
            return
    raise link.address.error(f"{there} does not arrive as it was sent.", "Is its disk sound?")


async def pull(link: Link, remote: str, local: Path) -> None:
    """Fetch the files that are not here yet, each from where it was cut the last time."""
    for name, sha256 in (await link.ask("files", path=remote))["files"].items():
        file = local / name if name else local
        if not file.resolve().is_relative_to(local.resolve()):
            raise link.address.error(f"it offers a file outside its folder: {name}", "")
        if not (file.is_file() and await asyncio.to_thread(digest_file, file) == sha256):
            await _fetch(link, f"{remote}/{name}" if name else remote, file, sha256)


async def _fetch(link: Link, remote: str, file: Path, sha256: str) -> None:
    part = file.with_name(f"{file.name}.{sha256[:16]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(EXACT):
        with part.open("ab") as stream:
            async for piece in link.fetch(remote, stream.tell()):
                stream.write(piece)
        if await asyncio.to_thread(digest_file, part) == sha256:
            part.replace(file)
            return
        part.unlink()
    raise link.address.error(f"{remote} does not arrive as it was sent.", "Is its disk sound?")


def _digest_of_first(file: Path, size: int) -> str:
    """Return the SHA-256 of a file's first bytes; of none, nothing."""
    found, left = hashlib.sha256(), size
    with file.open("rb") as stream:
        while left and (piece := stream.read(min(left, PIECE))):
            found.update(piece)
            left -= len(piece)
    return found.hexdigest() if size else ""
