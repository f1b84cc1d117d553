"""Which layers an int8 program is better off without: those that are faster in fp32, borders paid.

Operators are timed in the program and in fp32, by the module that they come from. Where a layer in
fp32 stands beside one in 8 bits, what goes between them is rounded, or made floats again; what that
costs is told by the rounding that the program has already, number by number. Of all choices of
layers the one is taken that by these sums takes least: a minimum cut. It is an estimate, after
which a program is made and timed.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgekd.core.quantization import Int8Static
from edgekd.core.results import OperatorTime, Profile
from edgekd.ops.two_sides import least_cost
from edgekd.runtimes.onnx_graph import is_inside
from edgekd.trial.candidates import Candidate
from edgekd.trial.forms import Form
from edgekd.trial.race import Race, Racer

LEAST = 0.01
"""Share of a program's time that leaving layers out must promise."""
OUTSIDE = ""
"""The module of what has none: inputs, outputs, and what a runtime puts in itself."""
ROUNDING = ("QuantizeLinear", "DequantizeLinear")
IN_8_BITS = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger")
"""How the names of operators begin that compute in 8 bits."""
ANY_TYPE = (
    "Concat",
    "Flatten",
    "Gather",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "Split",
    "Transpose",
)
"""Operators that take numbers of any type as they are."""
Flow = Mapping[tuple[str, str], int]
"""Numbers that go from module to module."""


def can_leave_out(form: Form) -> bool:
    """Tell whether layers can be left out of a form, and its runtime tells where they stand."""
    static = form.transform is not None and isinstance(form.transform.options, Int8Static)
    return static and hasattr(form.runtime.build(), "flow")


def leaner(
    candidates: Sequence[Candidate], race: Race, best: Racer
) -> list[tuple[Form, list[str]]]:
    """Return forms without the layers that are worth leaving out, each with the level to try.

    Of each runtime its fastest static int8 program is looked into; its form is returned where it
    is expected to become the fastest of all.
    """
    racers = {racer.entry.name: racer for racer in race.racers if racer.timings and not racer.out}
    able = sorted(
        (one for one in candidates if one.name in racers),
        key=lambda one: racers[one.name].median_ms,
    )
    found = []
    for kind in dict.fromkeys(one.form.runtime.kind for one in able):
        own = [one for one in able if one.form.runtime.kind == kind]
        int8 = next((one for one in own if can_leave_out(one.form)), None)
        fp32 = next((one for one in own if one.form.transform is None), None)
        if not int8 or not fp32:
            continue
        within, without = race.profile(int8.name), race.profile(fp32.name)
        if not isinstance(within, Profile) or not isinstance(without, Profile):
            continue
        flow = fp32.form.runtime.build().flow(fp32.entry().file)
        out = worth_leaving_out(flow, within, without)
        form = int8.form.without(out.paths)
        is_new = form.name not in {one.form.name for one in candidates}
        if is_new and racers[int8.name].median_ms * (1 - out.share) < best.median_ms:
            found.append((form, [int8.level]))
    return found


@dataclass(frozen=True)
class LeftOut:
    """Layers that stay in fp32."""

    paths: tuple[str, ...]
    """Modules, as `exclude` takes them; empty where nothing would be gained."""
    share: float
    """Of the program's time, what they are expected to save."""


def worth_leaving_out(flow: Flow, int8: Profile, fp32: Profile) -> LeftOut:
    """Return the layers that a program in 8 bits is better off without, by both profiles.

    `flow` is that of the program in fp32, which is the answer where all layers are.
    """
    within, without = (_by_module(profile.operators) for profile in (int8, fp32))
    owner = _owners(flow, {*within, *without})
    between = _joined(flow, owner)
    modules = {*owner.values()}
    in_8_bits = _in_8_bits(int8.operators)
    floats = {OUTSIDE, *_computing(int8.operators) - in_8_bits} & modules
    crossing = sum(count for pair, count in between.items() if len(floats & {*pair}) == 1)
    if not crossing:
        return LeftOut((), 0.0)
    whole = sum(each.us for each in int8.operators)
    price = (within.get(OUTSIDE, 0.0) + _rounding(int8.operators)) / crossing
    never = 2 * (whole + sum(without.values()) + price * sum(between.values()))
    costs = {
        module: (without.get(module, 0.0), within.get(module, 0.0)) for module in sorted(modules)
    }
    costs |= dict.fromkeys(floats, (0.0, never))
    costs |= {m: (never, costs[m][1]) for m in modules - floats if _is_around(m, owner)}
    apart = {pair: price * count for pair, count in between.items()}
    left = least_cost(costs, apart)
    saved = _cost(floats, costs, apart) - _cost(left, costs, apart)
    if saved < LEAST * whole or not in_8_bits - left:
        return LeftOut((), 0.0)
    paths = {module for module in owner if owner[module] in left - floats}
    return LeftOut(tuple(sorted(_widest(paths, owner))), saved / whole)


def _owners(flow: Flow, timed: Collection[str]) -> dict[str, str]:
    """Return by module itself, or what a runtime joined it to: that before it, if it has no time.

    An activation is computed with the convolution that it follows, and goes where that goes.
    """
    before = {reader: giver for giver, reader in reversed([*flow]) if reader not in timed}
    before.pop(OUTSIDE, None)
    owner = {}
    for module in {module: None for pair in flow for module in pair}:
        at, seen = module, {module}
        while at in before and before[at] not in seen:
            at = before[at]
            seen.add(at)
        owner[module] = at
    return owner


def _joined(flow: Flow, owner: Mapping[str, str]) -> Flow:
    """Return the flow between owners."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for (giver, reader), count in flow.items():
        if owner[giver] != owner[reader]:
            found[owner[giver], owner[reader]] += count
    return found


def _by_module(operators: Sequence[OperatorTime]) -> dict[str, float]:
    """Return microseconds by module, rounding left out."""
    spent: dict[str, float] = defaultdict(float)
    for each in operators:
        if each.operator not in ROUNDING:
            spent[each.module] += each.us
    return spent


def _rounding(operators: Sequence[OperatorTime]) -> float:
    return sum(each.us for each in operators if each.operator in ROUNDING)


def _in_8_bits(operators: Sequence[OperatorTime]) -> set[str]:
    return {one.module for one in operators if one.operator.startswith(IN_8_BITS)}


def _computing(operators: Sequence[OperatorTime]) -> set[str]:
    return {one.module for one in operators if one.operator not in (*ROUNDING, *ANY_TYPE)}


def _is_around(module: str, modules: Collection[str]) -> bool:
    """Tell whether others are inside a module that computes something itself."""
    return any(other != module and is_inside(other, module) for other in modules)


def _cost(
    first: set[str],
    costs: Mapping[str, tuple[float, float]],
    apart: Mapping[tuple[str, str], float],
) -> float:
    """Return what a choice costs in all."""
    own = sum(costs[thing][thing not in first] for thing in costs)
    return own + sum(cost for (a, b), cost in apart.items() if (a in first) != (b in first))


def _widest(chosen: set[str], modules: Collection[str]) -> set[str]:
    """Return fewer modules that hold the chosen ones, and no others that compute something."""

    def widest(path: str) -> str:
        parent = path.rpartition(".")[0]
        if parent and all(one in chosen for one in modules if is_inside(one, parent)):
            return widest(parent)
        return path

    return {widest(path) for path in chosen}
