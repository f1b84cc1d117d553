"""The JSON Schema of pipeline files, with every plug-in and option that is installed."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from edgekd.core.refs import Use
from edgekd.core.registry import Plugin
from edgekd.pipeline.spec import Pipeline


def pipeline_schema() -> dict[str, Any]:
    """Return the schema: a definition for each kind of plug-in, one alternative per plug-in."""
    definitions: dict[str, Any] = {}
    schema: dict[str, Any] = _lift(Pipeline.model_json_schema(), definitions)
    return schema | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgekd pipeline",
        "$defs": definitions,
    }


def _lift(value: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema whose definitions, and those of plug-ins, are gathered in one place."""
    if isinstance(value, list):
        return [_lift(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    for name, definition in value.get("$defs", {}).items():
        if "$comment" in definition:
            _lift(definition, definitions)
        else:
            _define(name, partial(dict, definition), definitions)
    use = next((c for c in Use.__subclasses__() if c.__name__ == value.get("$comment")), None)
    if use is not None:
        _define(use.__name__, partial(_any_plugin, use), definitions)
        return {"$ref": f"#/$defs/{use.__name__}"}
    return {key: _lift(item, definitions) for key, item in value.items() if key != "$defs"}


def _define(name: str, make: Callable[[], Any], definitions: dict[str, Any]) -> None:
    """Add a definition once; its place is taken first, since it may contain itself."""
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _lift(make(), definitions)


def _any_plugin(use: type[Use]) -> dict[str, Any]:
    """Return what may stand where a plug-in is named: its name, or a mapping with its options."""
    own = {
        name: _own_field(field) | {"description": field.description or ""}
        for name, field in use.model_fields.items()
        if name not in ("kind", "options")
    }
    plugins = list(use.registry)
    alone = [p.name for p in plugins if not p.config.model_json_schema().get("required")]
    return {"anyOf": [{"enum": alone}, *(_one_plugin(plugin, own) for plugin in plugins)]}


def _own_field(field: FieldInfo) -> dict[str, Any]:
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter[Any](kind).json_schema()


def _one_plugin(plugin: Plugin, own: dict[str, Any]) -> dict[str, Any]:
    options = plugin.config.model_json_schema()
    kind = {"const": plugin.name, "description": plugin.summary}
    return options | {
        "title": f"{plugin.kind} {plugin.name}",
        "description": plugin.summary,
        "properties": {"kind": kind} | own | options.get("properties", {}),
        "required": ["kind", *options.get("required", ())],
    }
