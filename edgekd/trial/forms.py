"""The forms that a model can take on a device: runtimes, ways to quantize, types, levels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekd.core.errors import Problem
from edgekd.core.refs import UseRuntime, UseTransform, as_written


@dataclass(frozen=True)
class Form:
    """One way to run a model, but for what a runtime is told when it loads the program."""

    runtime: UseRuntime
    transform: UseTransform | None
    """How it is quantized; in fp32 where there is none."""

    @property
    def name(self) -> str:
        """What people call it, as `onnxruntime int8_static uint8`."""
        return " ".join(part for part in (self.runtime.kind, _called(self.transform)) if part)

    def without(self, paths: Sequence[str]) -> "Form":
        """Return the form with these modules in fp32 too."""
        assert self.transform, "only what is quantized has something to leave out"
        options = self.transform.options
        excluded = tuple(dict.fromkeys((*getattr(options, "exclude", ()), *paths)))
        changed = options.model_copy(update={"exclude": excluded})
        transform = self.transform.model_copy(update={"options": changed})
        return replace(self, transform=transform)


def forms(
    runtimes: Sequence[UseRuntime],
    transforms: Sequence[UseTransform],
    activations: Sequence[str],
) -> Iterator[Form]:
    """Yield fp32 for each runtime, then each way to quantize, the types of activations apart.

    A runtime with a choice of types registers `activations`, and one that cannot follow every
    transform a `check(transform)`. A transform that leaves the type open has `activation: auto`.
    """
    for runtime in runtimes:
        yield Form(runtime, None)
    for runtime in runtimes:
        has = runtime.plugin.traits.get("activations", ())
        refuses = runtime.plugin.traits.get("check")
        for transform in transforms:
            if refuses and list(refuses(transform)):
                continue  # that runtime cannot follow it
            open_type = getattr(transform.options, "activation", "") == "auto"
            types = [name for name in activations if name in has] if open_type else []
            for name in types:
                options = transform.options.model_copy(update={"activation": name})
                yield Form(runtime, transform.model_copy(update={"options": options}))
            if not types:
                yield Form(runtime, transform)


def check_runtimes(
    runtimes: Sequence[UseRuntime], name: str, target: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield the runtimes that a target, as its file says, does not have."""
    has = target["runtimes"]
    for index, use in enumerate(runtimes):
        if use.kind not in has:
            yield Problem(
                f"runtimes[{index}]",
                f"target '{name}' lacks {use.kind}; it has {', '.join(has)}.",
                "Install it there and list it under runtimes, or leave it out.",
            )


def levels(runtime: UseRuntime, wanted: Sequence[str]) -> list[str]:
    """Return the graph levels to try: those that are wanted, of a runtime that has some."""
    return [level for level in wanted if level in runtime.plugin.traits.get("graph_levels", ())]


def _called(transform: UseTransform | None) -> str:
    """Return the transform's name with its options that are not as usual."""
    if transform is None:
        return "fp32"
    fields = type(transform.options).model_fields
    usual = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    own = [
        value if isinstance(value, str) else f"{name}={value}"
        for name, value in as_written(transform.options).items()
        if value != as_written(usual[name])
    ]
    return " ".join([transform.kind, *own])
