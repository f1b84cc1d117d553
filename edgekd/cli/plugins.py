"""What can be named in a pipeline file: lists, one plug-in in full, the schema."""

import inspect
import json
from typing import Any

import typer
from pydantic.fields import FieldInfo

from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.core.kinds import KINDS
from edgekd.core.refs import as_written
from edgekd.core.registry import Plugin, Registry
from edgekd.core.signals import SIGNALS, TAPPED


def print_kinds(as_json: bool) -> None:
    """Print the kinds with their counts."""
    if as_json:
        typer.echo(json.dumps({kind: r.names() for kind, r in KINDS.items()}, indent=1))
        return
    for kind, registry in KINDS.items():
        typer.echo(f"  {kind:<10} {len(registry.names()):>3}  edgekd list {kind}")


def print_plugins(kind: str, as_json: bool) -> None:
    """Print the names of a kind with one line and the papers of each; imports none of them."""
    registry = _registry(kind)
    names = registry.names()
    if as_json:
        typer.echo(json.dumps({name: registry.summary(name) for name in names}, indent=1))
        return
    width = max(map(len, names), default=0)
    for name in names:
        found = "".join(f" [arXiv {p.arxiv}]" for p in registry.papers(name) if p.arxiv)
        typer.echo(f"  {name:<{width}}  {registry.summary(name)}{found}")


def print_plugin(kind: str, name: str) -> None:
    """Print what a plug-in is, its source, options, needs, and an example."""
    registry = _registry(kind)
    try:
        plugin = registry.get(name)
    except KeyError as error:
        raise RequestError(Problem("", str(error.args[0]))) from error
    module = inspect.getmodule(plugin.target)
    typer.echo(f"{kind} {name}\n\n{inspect.getdoc(module) or plugin.summary}\n")
    for text in filter(None, map(inspect.getdoc, _said_of(plugin))):
        typer.echo(f"{text}\n")
    for paper in plugin.papers:
        typer.echo(f"source: {paper}")
    if plugin.papers:
        typer.echo("")
    _print_needs(plugin)
    typer.echo("options:")
    for field, info in plugin.config.model_fields.items():
        default = "required" if info.is_required() else f"default {_default(info)}"
        text = (info.description or "").replace("\n", "\n      ")
        typer.echo(f"  {field} ({default})\n      {text}")
    if not plugin.config.model_fields:
        typer.echo("  none")
    typer.echo(f"\nexample:\n  {_example(plugin)}")


def print_schema(document: str) -> None:
    """Print the JSON Schema of pipeline files, or of a document that edgekd writes."""
    from edgekd.pipeline.schema import pipeline_schema
    from edgekd.report.published import SCHEMAS

    schemas = {"pipeline": pipeline_schema} | SCHEMAS
    if document not in schemas:
        message = f"there is no schema of '{document}'."
        raise RequestError(Problem("", message, nearest(document, schemas)))
    typer.echo(json.dumps(schemas[document](), indent=1))


def _registry(kind: str) -> Registry:
    name = kind.removesuffix("s")
    if name not in KINDS:
        raise RequestError(Problem("", f"there is no kind '{kind}'.", nearest(kind, KINDS)))
    return KINDS[name]


def _said_of(plugin: Plugin) -> list[object]:
    """Return what tells of a plug-in beside its module: of a class, its call with the equation."""
    call = getattr(plugin.target, "forward", None) if inspect.isclass(plugin.target) else None
    return [plugin.target, *([call] if call else [])]


def _print_needs(plugin: Plugin) -> None:
    needs = [need for need in plugin.needs if need in SIGNALS]
    if needs:
        typer.echo("needs:")
        for need in needs:
            typer.echo(f"  {need}: {SIGNALS[need]}")
        if plugin.fits:
            typer.echo("fitted: sees the teacher over all training examples before the first step")
        typer.echo("")
    if plugin.learns:
        typer.echo("learns: after steps, by something else than the loss of the training")
        typer.echo("")


def _shown(default: Any) -> str:
    return json.dumps(default, default=str) if not isinstance(default, str) else default


def _default(info: FieldInfo) -> str:
    return _shown(as_written(info.get_default(call_default_factory=True, validated_data={})))


def _example(plugin: Plugin) -> str:
    options = {
        name: "..." if info.is_required() else info.default
        for name, info in plugin.config.model_fields.items()
        if info.is_required() or isinstance(info.default, int | float | str)
    }
    pairs = [f"{k}: {_shown(v)}" for k, v in ({"kind": plugin.name} | options).items()]
    if tapped := dict.fromkeys(TAPPED[need] for need in plugin.needs if need in TAPPED):
        pairs.append("tap: {" + ", ".join(f"{model}: ..." for model in tapped) + "}")
    return f"{{{', '.join(pairs)}}}"
