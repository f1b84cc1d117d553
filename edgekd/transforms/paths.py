"""Module paths that a transform is given."""

from collections.abc import Collection

from torch import nn

from edgekd.core.errors import Problem, RequestError, nearest


def check_paths(paths: Collection[str], model: nn.Module, field: str = "exclude") -> None:
    """Raise RequestError where a path names no module of the model."""
    known = [name for name, _ in model.named_modules() if name]
    missing = [path for path in paths if path not in known]
    if missing:
        raise RequestError(
            [
                Problem(field, f"the model has no module '{path}'.", nearest(path, known))
                for path in missing
            ]
        )
