"""The JSON Schema of pipeline files, with every plug-in and option that is installed."""

from typing import Any

from edgekd.pipeline.spec import Pipeline


def pipeline_schema() -> dict[str, Any]:
    """Return the schema; definitions of nested options are lifted to its top."""
    schema = Pipeline.model_json_schema()
    definitions: dict[str, Any] = {}
    lifted: dict[str, Any] = _lift(schema, definitions)
    lifted["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    lifted["$defs"] = definitions
    lifted["title"] = "edgekd pipeline"
    return lifted


def _lift(value: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema without its `$defs`, which are gathered in `definitions`."""
    if isinstance(value, list):
        return [_lift(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    inner = value.get("$defs", {})
    for name, definition in inner.items():
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _lift(definition, definitions)
    return {key: _lift(item, definitions) for key, item in value.items() if key != "$defs"}
