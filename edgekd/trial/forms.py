"""The forms that a model can take on a device, made as a pipeline's own stages would make them."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgekd.core import kinds
from edgekd.core.errors import Problem
from edgekd.core.protocols import Facts, Run
from edgekd.core.refs import Ref, UseRuntime, UseTransform, as_written
from edgekd.runtimes.folder import file_stem

FACTS = "facts.json"
"""Written last: a folder without it is half made."""


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


class Inside:
    """The run of a stage that another one calls: as its own, but for folder and inputs."""

    def __init__(self, run: Run, out: Path, inputs: Mapping[str, Path]):
        self.out, self._run, self._inputs = out, run, inputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def input(self, ref: Ref) -> Path:
        """Return the folder that a reference leads to."""
        return self._inputs[ref.stage]


def quantized(transform: UseTransform, model: Ref, folder: Path, run: Run, place: Path) -> Path:
    """Return the folder of the model as a `quantize` stage leaves it, made once in `place`."""
    out = place / f"quantized {file_stem(_called(transform))}"
    options = {"model": str(model), "transform": transform}
    call("quantize", options, run, out, {model.stage: folder})
    return out


def call(
    kind: str, options: Mapping[str, Any], run: Run, out: Path, inputs: Mapping[str, Path]
) -> Facts:
    """Return what a stage found out, as JSON values; it is not called where `out` has them."""
    if not (out / FACTS).exists():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        plugin = kinds.stage.get(kind)
        config = plugin.config.model_validate(options)
        facts = plugin.build(config)(cast(Run, Inside(run, out, inputs)))
        (out / FACTS).write_text(json.dumps(facts, default=vars), "utf-8")
    found: Facts = json.loads((out / FACTS).read_text("utf-8"))
    return found


def _called(transform: UseTransform | None) -> str:
    """Return the transform's name with its options that are not as usual."""
    if transform is None:
        return "fp32"
    usual = type(transform.options)()
    own = [
        value if isinstance(value, str) else f"{name}={value}"
        for name, value in as_written(transform.options).items()
        if value != as_written(usual)[name]
    ]
    return " ".join([transform.kind, *own])
