"""Which examples were chosen to be labelled, and what came of learning from them."""

from collections.abc import Iterator, Mapping

from edgekd.core.artifact import Manifest
from edgekd.core.quantity import Quantity
from edgekd.report.schema.choices import Selected


def selections(stages: Mapping[str, Manifest]) -> Iterator[Selected]:
    """Yield what each stage chose, in the order of the pipeline."""
    for name, manifest in stages.items():
        if found := manifest.facts.get("selection"):
            yield Selected(
                stage=name,
                seed=manifest.identity["seed"],
                learned={
                    learner: Quantity(**other.facts["test"])
                    for learner, other in stages.items()
                    if "test" in other.facts and _labels_of(other) == f"${name}"
                },
                **found,
            )


def _labels_of(manifest: Manifest) -> object:
    train = manifest.identity.get("options", {}).get("train")
    return train.get("labelled") if isinstance(train, dict) else None
