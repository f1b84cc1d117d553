"""Reading what a module inside a model gives, without touching the model's code."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from edgekd.core.errors import nearest


@contextmanager
def tapped(model: nn.Module, paths: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a mapping from module path to that module's latest output.

    The hooks are gone when the context ends. KeyError where a path names no module.
    """
    modules = dict(model.named_modules())
    outputs: dict[str, Tensor] = {}

    def keeper(path: str) -> Any:
        def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
            outputs[path] = output[0] if isinstance(output, tuple) else output

        return keep

    hooks = []
    try:
        for path in set(paths):
            if path not in modules or not path:
                raise KeyError(f"no module is at '{path}'. {nearest(path, filter(None, modules))}")
            hooks.append(modules[path].register_forward_hook(keeper(path)))
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
