"""Reading what a module inside a model gives, without touching the model's code."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor, nn

from edgekd.core.errors import StageError, nearest


class _Enough(Exception):  # noqa: N818, it tells of no error
    """All that was asked for is there."""


@contextmanager
def tapped(
    model: nn.Module, paths: Iterable[str], *, stop: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Yield a mapping from module path to that module's latest output, the first of several.

    With `stop` the context ends as soon as every path has one: what the model would compute then
    is not computed, and what stands behind its call is not done. The hooks are gone when the
    context ends. KeyError where a path names no module, StageError where a module gives something
    else than tensors.
    """
    wanted = {*paths}
    modules = dict(model.named_modules()) if wanted else {}  # a walk through it takes its time
    outputs: dict[str, Tensor] = {}

    def keeper(path: str) -> Any:
        def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) and output else output
            if not isinstance(first, Tensor):
                raise StageError(
                    f"the tapped module '{path}' gives a {type(first).__name__} and no tensor.",
                    f"Tap a module inside it: {nearest('', _inside(modules, path))}",
                )
            outputs[path] = first.clone()  # a ReLU(inplace=True) behind it would overwrite it
            if stop and len(outputs) == len(wanted):
                raise _Enough

        return keep

    hooks = []
    try:
        for path in wanted:
            if path not in modules or not path:
                raise KeyError(f"no module is at '{path}'. {nearest(path, filter(None, modules))}")
            hooks.append(modules[path].register_forward_hook(keeper(path)))
        with suppress(_Enough):
            yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _inside(modules: Iterable[str], path: str) -> list[str]:
    return [name for name in modules if name.startswith(f"{path}.")]
