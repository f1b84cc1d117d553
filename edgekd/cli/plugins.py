"""What can be named in a pipeline file: lists, one plug-in in full, the schema."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from edgekd.core.errors import Problem, RequestError, nearest
from edgekd.core.kinds import KINDS
from edgekd.core.refs import Use, as_written
from edgekd.core.registry import Plugin, Registry
from edgekd.core.signals import SIGNALS, TAPPED

PLACES = {"maps": "stages.1", "vectors": "pool"}
"""Modules of resnet and of depthwise that give what objectives are tried on."""
UNKNOWN = "..."


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
    _print_options(plugin.config.model_fields)
    if not plugin.config.model_fields:
        typer.echo("  none")
    if beside := _beside(plugin):
        typer.echo(f"\nas any {kind.removesuffix('s')}:")
        _print_options(beside)
    typer.echo(f"\nexample:\n  {_example(plugin)}")
    if any(need in TAPPED for need in plugin.needs):
        place = _place(plugin)
        here = "" if place == UNKNOWN else f"; {place} is one of resnet and of depthwise"
        typer.echo(f"  a tap is a path that named_modules() gives{here}")


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


def _print_options(fields: Mapping[str, FieldInfo]) -> None:
    for name, info in fields.items():
        default = "required" if info.is_required() else f"default {_default(info)}"
        choices = " or ".join(_choices(info.annotation))
        text = (info.description or "").replace("\n", "\n      ")
        typer.echo(f"  {name} ({choices and choices + '; '}{default})\n      {text}")


def _beside(plugin: Plugin) -> dict[str, FieldInfo]:
    """Return what stands beside a plug-in's own options, but what this one does not take."""
    (use,) = (one for one in Use.__subclasses__() if one.registry is KINDS[plugin.kind])
    asked = {"task": "own_task", "controls": "controls"}
    absent = {name for name, trait in asked.items() if trait not in plugin.traits}
    hidden = {"kind", "options"} | (absent if plugin.kind == "stage" else set())
    return {name: info for name, info in use.model_fields.items() if name not in hidden}


def _shown(default: Any) -> str:
    return json.dumps(default, default=str) if not isinstance(default, str) else default


def _default(info: FieldInfo) -> str:
    return _shown(as_written(info.get_default(call_default_factory=True, validated_data={})))


def _choices(annotation: Any) -> Sequence[str]:
    """Return the words that an option may be, where it is one of some."""
    if get_origin(annotation) is Literal:
        return [_shown(value) for value in get_args(annotation)]
    return [word for part in get_args(annotation) for word in _choices(part)]


def _place(plugin: Plugin) -> str:
    """Return a module that a term can tap, where it says what it is tried on."""
    terms = [term for loss in plugin.traits.get("tries", ()) for term in loss]
    taps = [str(t.get("tap")) for t in terms if isinstance(t, Mapping) and t["kind"] == plugin.name]
    return PLACES.get(next(iter(taps), ""), UNKNOWN)


def _example(plugin: Plugin) -> str:
    options = {
        name: UNKNOWN if info.is_required() else info.default
        for name, info in plugin.config.model_fields.items()
        if info.is_required() or isinstance(info.default, int | float | str)
    }
    pairs = [f"{k}: {_shown(v)}" for k, v in ({"kind": plugin.name} | options).items()]
    if tapped := dict.fromkeys(TAPPED[need] for need in plugin.needs if need in TAPPED):
        taps = ", ".join(f"{model}: {_place(plugin)}" for model in tapped)
        pairs.append(f"tap: {{{taps}}}")
    return f"{{{', '.join(pairs)}}}"
