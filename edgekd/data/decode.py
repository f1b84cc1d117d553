"""Picture files as arrays; one that cannot be read becomes the reason why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    Picture = np.ndarray[Any, np.dtype[np.uint8]]

FORMATS = ("PNG", "JPEG")
"""Whatever a file's name says: Pillow would also hand a page of PostScript to Ghostscript."""


def decoded(
    paths: Iterable[Path], shape: tuple[int, ...], color: Literal["L", "RGB"]
) -> Iterator[Picture | str]:
    """Yield what `decode` returns of each file.

    Pillow decodes without holding the interpreter's lock, so threads do it side by side.
    """
    with ThreadPoolExecutor() as pool:
        yield from pool.map(lambda path: decode(path, shape, color), paths)


def beginnings(paths: Iterable[Path]) -> Iterator[str]:
    """Yield why a file is no picture, told by its first bytes alone, for every one that is none."""
    with ThreadPoolExecutor() as pool:
        yield from filter(None, pool.map(_open, paths))


def decode(path: Path, shape: tuple[int, ...], color: Literal["L", "RGB"]) -> Picture | str:
    """Return a picture, upright and stretched to `shape` (height, width, channels), or why not."""
    import numpy as np
    from PIL import Image, ImageOps

    height, width, _ = shape
    try:
        with Image.open(path, formats=FORMATS) as stored:
            upright = ImageOps.exif_transpose(stored).convert(color)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _reason(path, error)
    resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8).reshape(shape)


def _open(path: Path) -> str:
    """Return why a file is no picture; empty where it begins as one."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS):
            return ""
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _reason(path, error)


def _reason(path: Path, error: Exception) -> str:
    """Return the error's words with the file's path once."""
    words = str(error)
    return words if str(path) in words else f"{path}: {words}"
