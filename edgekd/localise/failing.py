"""The smallest part of a model that cannot be exported on its own."""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.localise.advice import advice

Inputs = Mapping[str, Any]
"""What a module's forward() is called with, by the names of its parameters."""
MOST_TRIED = 64
"""Exports at most: each takes about a second, and more for a large model."""


@dataclass(frozen=True)
class Failing:
    """A module that fails, with what it is called with."""

    path: str
    module: nn.Module
    inputs: Inputs
    error: Exception

    @property
    def line(self) -> str:
        """Where its code stands that the exporter met last, as `file.py:12: code`; or nothing."""
        return _line(self.error, type(self.module))


def smallest_failing(
    model: nn.Module,
    example: tuple[Tensor, ...],
    attempt: Callable[[nn.Module, Inputs], None],
) -> Failing | None:
    """Return the innermost module that fails for the model's own reason; None where none does.

    `attempt` exports a module and raises what the exporter raises. Of the modules that a failing
    one calls, the first that fails is looked into, until none inside it does.
    """
    calls = called(model, example)
    if "" not in calls:
        return None
    failing = _failing("", model, calls[""], attempt)
    tried = 1
    while failing is not None:
        for path in _inner(model, failing.path, calls):
            if tried == MOST_TRIED:
                return failing
            tried += 1
            inner = _failing(path, model.get_submodule(path), calls[path], attempt)
            if inner is not None and _reason(inner) == _reason(failing):
                failing = inner
                break
        else:
            return failing
    return None


def called(model: nn.Module, example: tuple[Tensor, ...]) -> dict[str, Inputs]:
    """Return what each module is called with first, where that can be written to a file."""
    found: dict[str, Inputs] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            inputs = _by_name(module, given, named)
            if inputs is not None and path not in found and can_be_written(dict(inputs)):
                found[path] = inputs

        return hook

    hooks = [
        module.register_forward_pre_hook(note(path), with_kwargs=True)
        for path, module in model.named_modules()
    ]
    try:
        with torch.no_grad():
            model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def can_be_written(value: Any) -> bool:
    """Tell whether a value is made of tensors and plain numbers, texts and containers."""
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(can_be_written, value))
    if isinstance(value, dict):
        return type(value) is dict and all(map(can_be_written, value.values()))
    return value is None or isinstance(value, Tensor | bool | int | float | str)


def _by_name(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Inputs | None:
    """Return a call's inputs by parameter; None where some have no name."""
    signature = inspect.signature(module.forward)
    kinds = {p.name: p.kind for p in signature.parameters.values()}
    try:
        bound = signature.bind(*given, **named).arguments
    except TypeError:
        return None
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return dict(bound) if all(kinds[name] in plain for name in bound) else None


def _inner(model: nn.Module, path: str, calls: Mapping[str, Inputs]) -> Iterator[str]:
    """Yield the outermost modules inside one that were called."""
    start = f"{path}." if path else ""
    taken: list[str] = []
    for other, _ in model.named_modules():
        inside = other.startswith(start) and other != path
        if inside and other in calls and not any(other.startswith(f"{t}.") for t in taken):
            taken.append(other)
            yield other


def _failing(
    path: str,
    module: nn.Module,
    inputs: Inputs,
    attempt: Callable[[nn.Module, Inputs], None],
) -> Failing | None:
    try:
        attempt(module, inputs)
    except Exception as error:  # exporters raise anything
        return Failing(path, module, inputs, error)
    return None


def _reason(failing: Failing) -> str:
    """Return the kind of objection, so that a part that fails otherwise is not taken for it."""
    return advice(str(failing.error))


def _line(error: BaseException, owner: type) -> str:
    """Return the innermost line of the owner's file that the error passed through."""
    try:
        file = inspect.getsourcefile(owner)
    except TypeError:
        file = None
    met = [error, *([error.__cause__] if error.__cause__ else [])]
    for each in reversed(met):
        frames = traceback.extract_tb(each.__traceback__)
        own = [frame for frame in frames if frame.filename == file]
        if own:
            return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}"
    return ""
