"""Ratios of their own for some layers of an encoder, by module path."""

from collections.abc import Collection, Mapping, Sequence

from edgekd.core.errors import Problem, RequestError
from edgekd.transforms.blocks import Block


def check_names_parts(
    ratios: Mapping[str, float], parts: Collection[str], blocks: Sequence[Block]
) -> None:
    """Raise RequestError where a path belongs to nothing that the parts are of."""
    inner = [part for part in ("heads", "ffn") if part in parts]
    strange = [
        path
        for path in ratios
        if not any(_names(path, block, part) for block in blocks for part in inner)
    ]
    if strange:
        step = (
            f"Name a layer as '{blocks[0].path}', its attention or a linear layer in it, of a part "
            "that is in parts."
        )
        raise RequestError(
            [
                Problem("ratios", f"'{path}' has no heads or inner width to lose.", step)
                for path in strange
            ]
        )


def own_ratios(
    ratios: Mapping[str, float], part: str, blocks: Sequence[Block], share: float
) -> list[float | None]:
    """Return by layer a share of its own ratio of a part, the largest where it is given several."""
    own = [
        [ratio * share for path, ratio in ratios.items() if _names(path, block, part)]
        for block in blocks
    ]
    return [max(given, default=None) for given in own]


def _names(path: str, block: Block, part: str) -> bool:
    """Tell whether a path is the layer, a linear layer of the part, or what holds it in there."""
    heads = (*block.attention_in, block.attention_out)
    places = heads if part == "heads" else block.ffn or ()
    inside = path.startswith(f"{block.path}.")
    return path == block.path or (inside and any(f"{p}.".startswith(f"{path}.") for p in places))
