"""A transformers configuration: that of a saved model, or one written in a pipeline file."""

from collections.abc import Mapping
from typing import Any

from edgekd.core.errors import nearest

DESCRIPTION = "config.json"


def shape_from_folder(folder: str) -> Any:
    """Return the transformers configuration of a saved model."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(f"{folder}/{DESCRIPTION} cannot be read: {reason}") from error


def shape_from_options(given: Mapping[str, Any] | None, fitting: Mapping[str, Any]) -> Any:
    """Return a configuration with what fits the task."""
    kind, options = kind_and_options(given or {})
    known = {*kind().to_dict(), *kind.attribute_map}
    return kind(**{name: value for name, value in fitting.items() if name in known} | options)


def kind_and_options(given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return a configuration's class with its options; transformers would let a typo pass."""
    from transformers import CONFIG_MAPPING

    options = _lists(dict(given))
    known_as = options.pop("model_type", "")
    if known_as not in CONFIG_MAPPING:
        raise ValueError(f"no model_type is '{known_as}'. {nearest(known_as, CONFIG_MAPPING)}")
    kind = CONFIG_MAPPING[known_as]
    known = {*kind().to_dict(), *kind.attribute_map}
    for name in options:
        if name not in known:
            raise ValueError(f"'{name}' is no option of {known_as}. {nearest(name, known)}")
    return kind, options


def _lists(value: Any) -> Any:
    """Return options with tuples as the lists that transformers writes to its files."""
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple | list) else value
