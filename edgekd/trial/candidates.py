"""Programs of one model in many forms, for one of them to be chosen."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekd.core.errors import EdgekdError
from edgekd.core.protocols.stage import Run
from edgekd.core.protocols.values import Facts
from edgekd.core.refs import Ref, UseRuntime
from edgekd.runtimes.folder import load_program
from edgekd.runtimes.parity import Parity
from edgekd.trial.delegate import Made, made
from edgekd.trial.entry import Entry
from edgekd.trial.forms import Form


@dataclass(frozen=True)
class Candidate:
    """A program with the level that its graph is loaded at."""

    form: Form
    level: str
    """Empty where the runtime has none."""
    folder: Path
    """Where the program lies; what level is written there is only a default."""

    @property
    def name(self) -> str:
        """What people call it, as `onnxruntime int8_static uint8 all`."""
        return f"{self.form.name} {self.level}".strip()

    def entry(self) -> Entry:
        """Return the program as it is timed."""
        program = load_program(self.folder)
        told = dict(program.facts.get("program", {}))
        if self.level:
            told["graph_level"] = self.level
        program = replace(program, facts={**program.facts, "program": told})
        return Entry(self.name, "candidate", self.folder / program.file, program)


@dataclass
class Maker:
    """Has a model quantized and exported as `quantize` and `export` stages would."""

    run: Run
    model: Ref
    target: str
    parity: Parity
    lost: dict[str, str] = field(default_factory=dict)
    """Why forms could not be made, by name."""

    def candidates(
        self, forms: Sequence[Form], levels: Callable[[Form], Sequence[str]]
    ) -> list[Candidate]:
        """Return all that can be made, each form at its levels.

        The first form is what all others are compared with: its error is not caught.
        """
        self.run.progress(0, len(forms), f"making {forms[0].name}")
        self._export(forms[0], forms[0].runtime)
        return self.able([(form, levels(form)) for form in forms])

    def able(self, forms: Sequence[tuple[Form, Sequence[str]]]) -> list[Candidate]:
        """Return those that can be made, and note why others cannot."""
        found: list[Candidate] = []
        for number, (form, levels) in enumerate(forms):
            self.run.progress(number, len(forms), f"making {form.name}")
            try:
                folder = self._export(form, form.runtime).folder
            except Exception as error:  # an experiment; a library may raise anything
                self.lost[form.name] = reason(error)
            else:
                found += [Candidate(form, level, folder) for level in levels]
        return found

    def take(self, chosen: Candidate) -> Facts:
        """Leave a candidate as the result of the run, its level written in; return its facts."""
        runtime = chosen.form.runtime
        if chosen.level:
            options = runtime.options.model_copy(update={"graph_level": chosen.level})
            runtime = runtime.model_copy(update={"options": options})
        program = self._export(chosen.form, runtime)  # that which was measured, or once more
        shutil.copytree(program.folder, self.run.out, dirs_exist_ok=True)
        return program.facts

    def _export(self, form: Form, runtime: UseRuntime) -> Made:
        """Return the program of a form."""
        name, inputs = self.model.stage, self._inputs(form)
        options = {"runtime": runtime, "target": self.target, "parity": self.parity}
        return made("export", options | {"model": f"${name}"}, self.run, inputs)

    def _inputs(self, form: Form) -> Mapping[str, Path]:
        """Return the folder of the model, quantized where the form says so."""
        inputs = {self.model.stage: self.run.input(self.model)}
        if form.transform is None:
            return inputs
        options = {"model": str(self.model), "transform": form.transform}
        return {self.model.stage: made("quantize", options, self.run, inputs).folder}


def reason(error: Exception) -> str:
    """Return in a line why something could not be made."""
    words = str(error).strip().partition("\n")[0]
    return words if isinstance(error, EdgekdError) else f"{type(error).__name__}: {words}"
