"""A stage that has other stages do a part of its work, as a pipeline would have them do it."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgekd.core import kinds
from edgekd.core.artifact import digest_json
from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.values import Facts
from edgekd.core.refs import Ref, as_written

FACTS = "facts.json"
"""Written last, beside the folder: without it that is half made."""
DIGITS = 16


@dataclass(frozen=True)
class Made:
    """What a stage left and said."""

    folder: Path
    facts: Facts
    """As JSON values."""


class _Inside:
    """The run of a stage that another one calls: as its own, but for folder and inputs."""

    def __init__(self, run: Run, out: Path, inputs: Mapping[str, Path]):
        self.out, self._run, self._inputs = out, run, inputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def input(self, ref: Ref) -> Path:
        """Return the folder that a reference leads to."""
        return self._inputs[ref.stage]


def made(kind: str, options: Mapping[str, Any], run: Run, inputs: Mapping[str, Path]) -> Made:
    """Return what a stage of a kind makes; done once, also where the run was interrupted.

    `inputs` are the folders that its options refer to, by stage.
    """
    plugin = kinds.stage.get(kind)
    config = plugin.config.model_validate(options)
    asked = [kind, as_written(config), {name: str(folder) for name, folder in inputs.items()}]
    place = run.unfinished / "made" / f"{kind}-{digest_json(asked)[:DIGITS]}"
    out, written = place / "result", place / FACTS
    if not written.exists():
        shutil.rmtree(place, ignore_errors=True)
        out.mkdir(parents=True)
        facts = plugin.build(config)(cast(Run, _Inside(run, out, inputs)))
        written.write_text(json.dumps(facts, default=vars), "utf-8")
    return Made(out, json.loads(written.read_text("utf-8")))
