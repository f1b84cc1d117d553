"""Writes the tables of docs/objectives.md from the records in docs/results/fashion_mnist.

    python docs/objectives.py

`python -m tests.benchmarks.record_objectives [--pays | --causes]` makes the records. What stands
outside of the marks is written by hand.
"""

import json
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

HERE = Path(__file__).parent
PAGE, RESULTS = HERE / "objectives.md", HERE / "results" / "fashion_mnist"
METHODS = runpy.run_path(str(HERE / "methods.py"))


def text() -> str:
    """Return the page with the tables as the records have them."""
    page = PAGE.read_text("utf-8")
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        lines = "\n".join(table(_record(name.partition(" ")[0])))
        page = place.sub(lambda m, lines=lines: f"{m[1]}\n{lines}\n\n{m[2]}", page)
    return page


def _record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def _arms(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the arms, the best first."""
    return sorted(record["arms"], key=lambda arm: -arm["mean"])


def _objectives(record: Mapping[str, Any]) -> list[str]:
    """Return the table of all objectives."""
    base = next(arm for arm in record["arms"] if arm["control"] == "no_kd")
    ece = {arm["name"]: arm for arm in record["besides"]["calibration"]}
    rows = [
        f"| {_name(arm)} | {arm['what']} | {METHODS['_score'](arm, 100)} | {arm['n']} "
        f"| {_against(arm, 'no_kd')} | {_against(arm, 'plain_kd')} "
        f"| {100 * ece[arm['name']]['mean']:.1f} "
        f"| {mean(arm['cpu_seconds']) / mean(base['cpu_seconds']):.2f} |"
        for arm in _arms(record)
    ]
    return [
        "| objective | best found setting | accuracy, % | n | against labels alone "
        "| against plain KD | ECE, % | cost |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        *_foot(record),
    ]


def _gains(record: Mapping[str, Any]) -> list[str]:
    """Return what each stage gains over its own labels alone."""
    pairs = [arm for arm in record["arms"] if not arm["control"]]
    alone = {arm["name"].rpartition(".")[0]: arm for arm in record["arms"] if arm["control"]}
    rows = [
        f"| {WHERE[arm['name']]} | {METHODS['_score'](alone[arm['name']], 100)} "
        f"| {METHODS['_score'](arm, 100)} | {arm['n']} | {_against(arm, 'no_kd')} |"
        for arm in pairs
    ]
    return [
        "| where | labels alone, % | cross-entropy + kd, % | n | difference |",
        "|---|---|---|---|---|",
        *rows,
        "",
        *_foot(record),
    ]


def _tried(record: Mapping[str, Any]) -> list[str]:
    """Return every setting that was tried, with the one that was taken."""
    rows = []
    for name in dict.fromkeys(one["objective"] for one in record["tried"]):
        own = [one for one in record["tried"] if one["objective"] == name]
        words = "; ".join(
            ("**{}: {:.1f}**" if one["taken"] else "{}: {:.1f}").format(
                one["what"], 100 * one["validation"]
            )
            for one in own
        )
        rows.append(f"| `{name}` | {words} |")
    return ["| objective | settings tried: validation accuracy, % |", "|---|---|", *rows]


def _name(arm: Mapping[str, Any]) -> str:
    control = {"no_kd": "labels alone", "plain_kd": "plain KD"}.get(arm["control"])
    return f"**{control}**" if control else f"`{arm['name']}`"


def _against(arm: Mapping[str, Any], base: str) -> str:
    found: str = METHODS["_difference"](arm["against"].get(base), 100)
    return found


def _foot(record: Mapping[str, Any]) -> list[str]:
    machine = record["machine"]
    teachers = ", ".join(
        f"`{name}` has {100 * one['test']['value']:.2f} % "
        f"and an ECE of {100 * one['calibration']:.1f} %"
        for name, one in record["teachers"].items()
    )
    return [
        f"`{record['command']}`, {record['date']}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, torch {record['torch']}; {teachers}."
    ]


WHERE = {
    "few_100": "100 labels, 54,900 pictures without",
    "few_500": "500 labels, 54,500 without",
    "few_5000": "5,000 labels, 50,000 without",
    "as_in_table": "as in the table: temperature 4, one epoch",
    "temperature_1": "temperature 1",
    "temperature_2": "temperature 2",
    "temperature_8": "temperature 8",
    "smoothed": "a teacher of smoothed labels (0.1)",
    "small": "a smaller student",
    "long": "four epochs",
}
TABLES = {"table": _objectives, "pays": _gains, "causes": _gains, "table settings": _tried}


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
