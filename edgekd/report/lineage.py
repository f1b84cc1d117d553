"""What was made from what: which measured program a program is compared with."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgekd.core.artifact import Manifest
from edgekd.core.results import MeasuredProgram, Measurements

_Contents = frozenset[str]


@dataclass(frozen=True)
class Parent:
    """What a quantized program was before: the fp32 program, None where it was not measured."""

    stage: str
    """Whose model was quantized."""
    quantizer: str
    """The stage that quantized it; empty where it was trained on since, so that what that stage
    found out holds no more."""
    program: MeasuredProgram | None


@dataclass(frozen=True)
class Lineage:
    """How the measured programs descend from each other, by the inputs of their stages."""

    before: Mapping[str, str]
    """By program, the measured program that it was made from; the reference where there is none."""
    controls: frozenset[str]
    """Programs measured beside that no candidate descends from."""
    parents: Mapping[str, Parent]
    """By quantized candidate."""


def lineage(found: Measurements, check: Manifest, stages: Mapping[str, Manifest]) -> Lineage:
    """Return the descent of the programs that the stage of `check` measured.

    Stages are told by content: one that was made again and came out the same is the same.
    """
    family = _Family(found.programs, check, stages)
    before = {program.name: family.before(program) for program in found.programs}
    candidates = [program for program in found.programs if program.role == "candidate"]
    parents = {p.name: family.parent(p) for p in candidates if p.precision != "fp32"}
    return Lineage(
        {name: one.name if one else found.reference for name, one in before.items()},
        frozenset(
            p.name
            for p in found.programs
            if p.role == "along" and not any(family.descends(c, p) for c in candidates)
        ),
        {name: parent for name, parent in parents.items() if parent},
    )


class _Family:
    def __init__(
        self,
        programs: Sequence[MeasuredProgram],
        check: Manifest,
        stages: Mapping[str, Manifest],
    ):
        self.programs = programs
        self.by_content = {manifest.content: manifest for manifest in stages.values()}
        self.names = {manifest.content: name for name, manifest in stages.items()}
        self.source = {p.name: self._source(p.name, check) for p in programs}
        """The contents of what each program was exported from."""
        self.above = {
            name: frozenset(content for content, _ in self._upwards(contents))
            for name, contents in self.source.items()
        }

    def _source(self, program: str, check: Manifest) -> _Contents:
        """Return what the export of a program took; an implied one is `model.runtime`."""
        exports = [content for name, content in check.inputs.items() if name == program] or [
            content for name, content in check.inputs.items() if name.startswith(f"{program}.")
        ]
        return frozenset(
            above
            for content in exports
            if content in self.by_content
            for above in self.by_content[content].inputs.values()
        )

    def _upwards(self, contents: _Contents) -> Iterator[tuple[str, Manifest]]:
        """Yield stages and all that they rest on, the nearest first, each once."""
        waiting = deque(sorted(contents))
        seen: set[str] = set()
        while waiting:
            content = waiting.popleft()
            if content in self.by_content and content not in seen:
                yield content, self.by_content[content]
                waiting.extend(self.by_content[content].inputs.values())
            seen.add(content)

    def descends(self, program: MeasuredProgram, other: MeasuredProgram) -> bool:
        """Tell whether a program was made from another, or is another form of the same model."""
        if program is other or not self.source[other.name] & self.above[program.name]:
            return False
        same = self.source[program.name] == self.source[other.name]
        earlier = self.programs.index(other) < self.programs.index(program)
        return not same or (earlier and other.role != "candidate")

    def before(self, program: MeasuredProgram) -> MeasuredProgram | None:
        """Return the nearest measured program that one descends from."""
        above = [other for other in self.programs if self.descends(program, other)]
        nearest = [
            other
            for other in above
            if not any(
                self.descends(one, other) and self.source[one.name] != self.source[other.name]
                for one in above
            )
        ]
        return _closest(program, nearest)

    def parent(self, program: MeasuredProgram) -> Parent | None:
        """Return what was quantized; None where no stage before says so."""
        quantized = [m for _, m in self._upwards(self.source[program.name]) if m.kind == "quantize"]
        if not quantized:
            return None
        given = frozenset(quantized[0].inputs.values())
        forms = [p for p in self.programs if self.source[p.name] & given and p.precision == "fp32"]
        stages = ", ".join(sorted(self.names[one] for one in given if one in self.names))
        last = quantized[0].content in self.source[program.name]
        quantizer = self.names[quantized[0].content] if last else ""
        return Parent(stages, quantizer, _closest(program, forms))


def _closest(program: MeasuredProgram, of: Sequence[MeasuredProgram]) -> MeasuredProgram | None:
    """Return the last that is not the reference, one in the same runtime before all others."""
    ranked = sorted(of, key=lambda p: (p.role != "reference", p.runtime == program.runtime))
    return ranked[-1] if ranked else None
