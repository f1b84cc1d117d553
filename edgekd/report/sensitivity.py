"""What the stages that quantized found of each layer."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgekd.core.artifact import Manifest
from edgekd.core.quantity import Quantity
from edgekd.report.schema.sensitivity import LayerCost, Sensitivity


def sensitivity(stages: Mapping[str, Manifest]) -> Iterator[Sensitivity]:
    """Yield the layers of each stage that measured them, in the order of the pipeline."""
    for name, manifest in stages.items():
        if found := manifest.facts.get("sensitivity"):
            yield Sensitivity(
                stage=name,
                measure=manifest.facts["measure"],
                examples=found["examples"],
                fp32=Quantity(**found["fp32"]),
                layers=[_layer(layer) for layer in found["layers"]],
                between=_layer(found["between"]),
                budget=found.get("budget"),
                kept=found.get("kept"),
                tried=found.get("tried"),
            )


def _layer(found: Mapping[str, Any]) -> LayerCost:
    quantities = {name: Quantity(**found[name]) for name in ("score", "lost")}
    return LayerCost(**{**found, **quantities})
