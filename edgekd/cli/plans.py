"""Plans as people and programs read them."""

import json
from collections.abc import Mapping
from typing import Any

import typer

from edgekd.cli.printable import brief
from edgekd.pipeline.plan import Plan, Step, explain
from edgekd.pipeline.room import readable


def print_plan(plan: Plan) -> None:
    """Print one line per stage: kept, or why it runs."""
    width = max(len(step.stage.name) for step in plan.steps)
    for path in plan.resolved.plugins:
        typer.echo(f"  loads code from {path}")
    for step in plan.steps:
        why = step.key[:16] if step.action == "keep" else brief(step.reasons)
        about = f"  {words}" if (words := _words(step)) else ""
        needs = typer.style(_needs(step.stage.needs), dim=True) if step.action == "run" else ""
        typer.echo(f"  {step.stage.name:<{width}}  {step.action:<4}  {why}{about}{needs}")
        for remark in step.stage.remarks if step.action == "run" else ():
            typer.echo(typer.style(f"  {'':<{width}}        {remark}", dim=True))
    count = len(plan.to_run)
    typer.echo(f"{count} of {len(plan.steps)} stages would run." if count else "Nothing to do.")


def _words(step: Step) -> str:
    """Return what a stage is that the file does not name itself."""
    return step.stage.member.words if step.stage.member else ""


def _needs(needs: Mapping[str, Any] | None) -> str:
    """Return what a stage is estimated to need, as the end of its line."""
    if needs is None:
        return ""
    memory, disk = readable(needs["memory_bytes"]), readable(needs["disk_bytes"])
    return f"  (needs ~{memory} memory, {disk} disk)"


def plan_as_json(plan: Plan) -> str:
    """Return the plan as one JSON document."""
    steps = [
        {
            "stage": step.stage.name,
            "kind": step.stage.kind,
            "about": _words(step),
            "action": step.action,
            "reasons": list(step.reasons),
            "key": step.key,
            "inputs": list(step.stage.inputs),
            "needs": step.stage.needs,
            "remarks": list(step.stage.remarks),
        }
        for step in plan.steps
    ]
    return json.dumps({"name": plan.resolved.name, "steps": steps}, indent=1)


def print_why(plan: Plan, name: str, as_json: bool) -> None:
    """Print why a stage and its group run, down to what changed first."""
    steps = plan.named(name)
    if as_json:
        action = "keep" if all(step.action == "keep" for step in steps) else "run"
        found = {"stage": name, "action": action, "reasons": explain(plan, name)}
        typer.echo(json.dumps(found, indent=1))
        return
    for step in steps:
        if step.kept is not None:
            typer.echo(
                f"{step.stage.name} is kept: made {step.kept.started_at}, "
                "nothing that it rests on changed."
            )
    for line in explain(plan, name):
        typer.echo(line)
