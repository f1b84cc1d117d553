"""Writes docs/methods.md: what methods came to here, from the recorded runs in docs/results.

    python docs/methods.py

`python -m tests.benchmarks.record_papers [ID ...]` makes the records.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = """\
# What the methods came to

Each file of [`pipelines/papers`](../pipelines/papers) is the smallest end-to-end trial of a paper's
claim that is worth running, and this page is what came of it, for better or worse. `python
docs/methods.py` writes it from [`docs/results`](results), and `python -m
tests.benchmarks.record_papers [ID ...]` makes those. Which pieces are whose:
[papers.md](papers.md).

Scores are of the test split, which nothing was chosen by: mean ± standard deviation over seeds.
*Against labels alone* and *against plain KD* (cross-entropy + the softened divergence, `kd`) are
means of paired differences, as the same seed gives the same initial weights and the same batches,
with Student's 95 % interval and the two-sided p of the paired t-test, all p of a table corrected
together (Holm). A difference counts as shown with p < 0.05; none shown is not none. The teacher has
one seed, so its own luck is in every row. *Step*: CPU time of a training step, that of plain KD =
1, or of labels alone where no KD can be, both in turns in one process: median of nine rounds and
their range. *Memory*: peak of the
process that trained, libraries and data included, mean over seeds.
"""
SHOWN = 0.05


def text() -> str:
    """Return the page."""
    files = sorted((HERE / "results").glob("*.json"))
    records = {file.stem: json.loads(file.read_text("utf-8")) for file in files}
    return "\n".join([HEAD, *(_section(name, record) for name, record in records.items())])


def _section(name: str, record: Mapping[str, Any]) -> str:
    """Return what one paper's pipeline came to."""
    machine, measure, unit = record["machine"], record["measure"], record["unit"]
    head = f"{measure}, %" if unit == "share" else f"{measure}, {unit}" if unit else measure
    arms = sorted(record["arms"], key=lambda arm: bool(arm["control"]))
    bases = _bases(arms)
    against = " | ".join(f"against {words}" for words in bases.values())
    lines = [
        f"## {name}",
        "",
        f"[{record['description']}](../{record['pipeline']})",
        "",
        f"| arm | loss | {head} | n | {against} | step | memory, MiB |",
        "|---" * (6 + len(bases)) + "|",
        *(_row(arm, unit, bases, _unit_of_steps(arms)) for arm in arms),
        "",
        *(_verdict(arms, base, words) for base, words in bases.items()),
        *_pretraining(record.get("pretraining", {})),
        *_rounds(record.get("rounds", []), unit),
        *(line for pair in record["besides"].items() for line in _beside(*pair)),
        *_chosen(record.get("chosen", {})),
        *_programs(record["programs"]),
        "",
        f"`{record['command']}`, {record['date']}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, torch {record['torch']}.",
        "",
    ]
    return "\n".join(lines)


BASES = {
    "no_kd": "labels alone",
    "plain_kd": "plain KD",
    "plain_mae": "pre-training without the teacher",
}


def _bases(arms: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the controls of a paper."""
    there = {arm["control"] for arm in arms}
    return {name: words for name, words in BASES.items() if name in there}


def _rounds(rows: Sequence[Mapping[str, Any]], unit: str) -> list[str]:
    """Return a table of what was selected, round by round, against as many drawn by chance."""
    if not rows:
        return []
    factor = 100 if unit == "share" else 1
    names = list(rows[-1]["strategies"])
    tested = [name for name in names if rows[-1]["strategies"][name]["against"]]
    lines = [
        "| ".join(
            [
                f"| {row['labelled'] or 'mean of the rounds after the first'} ",
                *(f"{_score(row['strategies'][name], factor)} " for name in names),
                *(f"{_difference(row['strategies'][name]['against'], factor)} " for name in tested),
            ]
        )
        + "|"
        for row in rows
    ]
    head = [*(f"`{name}`" for name in names), *(f"`{name}` against chance" for name in tested)]
    return ["", f"| labels | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|", *lines]


def _beside(name: str, arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of a further measure, a share, over the same seeds."""
    bases = _bases(arms)
    rows = [
        f"| `{arm['name']}` | {_score(arm, 100)} | "
        + " | ".join(_difference(arm["against"].get(base), 100) for base in bases)
        + " |"
        for arm in sorted(arms, key=lambda arm: bool(arm["control"]))
    ]
    title = MEASURES.get(name, f"{name}, %")
    head = f"| {title}, over seeds | | "
    head += " | ".join(f"against {words}" for words in bases.values()) + " |"
    return ["", head, "|---" * (2 + len(bases)) + "|", *rows]


def _chosen(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of how clean the choices among a pool are, where any was made."""
    if not arms:
        return []
    what = next(iter(arms.values()))["what"]
    rows = []
    for name, arm in arms.items():
        ratio = arm["enrichment"]
        shares = [f"{100 * arm[part]:.1f}" for part in ("kept", "share", "among_kept")]
        ratios = f"{ratio['mean']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
        by_epoch = [f"{arm['by_epoch'][place]:.2f}" for place in (0, -1)]
        rows.append(f"| `{name}` | {' | '.join([*shares, ratios, *by_epoch])} |")
    head = (
        f"| choice among the pool | kept, % | {what} in the pool, % | among those kept, % "
        "| ratio, over epochs and seeds | first epoch | last |"
    )
    return ["", head, "|---" * 7 + "|", *rows]


def _score(arm: Mapping[str, Any], factor: float) -> str:
    """Return `90.42 ± 2.53`."""
    deviation = arm["deviation"]
    spread = f" ± {deviation * factor:.2f}" if deviation is not None else ""
    return f"{arm['mean'] * factor:.2f}{spread}"


def _row(arm: Mapping[str, Any], unit: str, bases: Mapping[str, str], one: str) -> str:
    """Return an arm's line; a step of the control `one` is 1."""
    factor = 100 if unit == "share" else 1
    control = BASES.get(arm["control"])
    cells = [
        f"`{arm['name']}`" + (f" ({control})" if control else ""),
        arm["what"],
        _score(arm, factor),
        str(arm["n"]),
        *(_difference(arm["against"].get(base), factor) for base in bases),
        _step(arm, one),
        f"{arm['peak_memory_mib']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _difference(found: Mapping[str, Any] | None, factor: float) -> str:
    """Return `+1.20 (0.31 to 2.09), p = 0.012`; bold where the difference is shown."""
    if found is None:
        return "-"
    words = f"{found['mean'] * factor:+.2f}"
    if found["low"] is not None:
        words += f" ({found['low'] * factor:.2f} to {found['high'] * factor:.2f})"
    if found["p"] is None:
        return f"{words}, not tested"
    words += ", p < 0.001" if found["p"] < 0.001 else f", p = {found['p']:.2g}"
    return f"**{words}**" if found["p"] < SHOWN else words


def _unit_of_steps(arms: Sequence[Mapping[str, Any]]) -> str:
    """Return the control whose step is 1: plain KD, else labels alone; empty where none is."""
    if not any(arm["step"] for arm in arms):
        return ""
    unmeasured = {arm["control"] for arm in arms if arm["step"] is None}
    return "plain_kd" if "plain_kd" in unmeasured else "no_kd"


def _step(arm: Mapping[str, Any], unit: str) -> str:
    if arm["step"] is None:
        return "1" if unit and arm["control"] == unit else "-"
    return _ratio(arm["step"])


def _pretraining(found: Mapping[str, Any]) -> list[str]:
    """Return what a step of each pre-training costs."""
    return [
        f"A step of pre-training `{name}` takes {_ratio(step)} of one of `{found['base']}`.  "
        for name, step in found.get("steps", {}).items()
    ]


def _ratio(step: Mapping[str, float]) -> str:
    """Return `1.02 (0.96 to 1.12)`."""
    return "{median:.2f} ({least:.2f} to {most:.2f})".format(**step)


def _verdict(arms: Sequence[Mapping[str, Any]], base: str, words: str) -> str:
    """Return how many methods are shown to be higher or lower than a control."""
    tests = [arm["against"][base] for arm in arms if base in arm["against"]]
    shown = [test["mean"] for test in tests if test["p"] is not None and test["p"] < SHOWN]
    higher = sum(mean > 0 for mean in shown)
    return (
        f"Against {words}: {higher} higher, {len(shown) - higher} lower, "
        f"{len(tests) - len(shown)} with no difference shown.  "
    )


def _programs(programs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of the exported programs of the first seed."""
    names = [n for n in FIGURES if any(n in program for program in programs)]
    if not names:
        return []
    rows = [
        f"| `{program['program']}` on {program['target']} |"
        + "".join(f" {_figure(program.get(n), FIGURES[n][1])} |" for n in names)
        for program in programs
    ]
    head = "| exported program of the first seed |" + "".join(f" {FIGURES[n][0]} |" for n in names)
    return ["", head, "|---" * (len(names) + 1) + "|", *rows]


MEASURES = {"calibration": "calibration error, % (lower is better)"}
FIGURES = {
    "accuracy": ("accuracy, %", 100),
    "agreement": ("agreement with the first of the table, %", 100),
    "ece": ("calibration error, %", 100),
    "size_mib": ("size, MiB", 1),
    "latency_p50_ms": ("p50, ms", 1),
}


def _figure(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:.3g}"


if __name__ == "__main__":
    (HERE / "methods.md").write_text(text(), "utf-8")
