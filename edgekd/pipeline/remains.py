"""What is left of a stage where something that it reads has failed."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from edgekd.pipeline.resolved import ResolvedStage


class _NothingLeftError(Exception):
    """A stage cannot do without what failed."""


def remains(stage: ResolvedStage, failed: Collection[str]) -> ResolvedStage | None:
    """Return a stage whose lists no longer name what failed.

    None where it names such a stage as a single value, or nothing else in a list.
    """
    gone = {name for name in stage.inputs if name in failed}
    if not gone:
        return stage
    named = {name for by in stage.instead.values() for name, one in by.items() if one in gone}
    try:
        options = _without(stage.options, gone | named)
    except _NothingLeftError:
        return None
    inputs = tuple(name for name in stage.inputs if name not in gone)
    return replace(stage, options=options, inputs=inputs)


def _without(value: Any, gone: Collection[str]) -> Any:
    if _leads_to(value, gone):
        raise _NothingLeftError
    if isinstance(value, Mapping):
        return {key: _without(item, gone) for key, item in value.items()}
    if isinstance(value, list | tuple):
        kept = [_without(item, gone) for item in value if not _leads_to(item, gone)]
        if value and not kept:
            raise _NothingLeftError
        return kept
    return value


def _leads_to(value: Any, gone: Collection[str]) -> bool:
    if not isinstance(value, str) or not value.startswith("$"):
        return False
    return value[1:] in gone
