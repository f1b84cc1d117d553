"""Reading what a module inside a model gives, without touching the model's code."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from edgekd.core.errors import StageError, nearest


@contextmanager
def tapped(model: nn.Module, paths: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a mapping from module path to that module's latest output, the first of several.

    The hooks are gone when the context ends. KeyError where a path names no module, StageError
    where a module gives something else than tensors.
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

        return keep

    hooks = []
    try:
        for path in wanted:
            if path not in modules or not path:
                raise KeyError(f"no module is at '{path}'. {nearest(path, filter(None, modules))}")
            hooks.append(modules[path].register_forward_hook(keeper(path)))
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _inside(modules: Iterable[str], path: str) -> list[str]:
    return [name for name in modules if name.startswith(f"{path}.")]
