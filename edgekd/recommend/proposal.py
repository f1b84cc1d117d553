"""The user's file with another loss: comments stay where they can."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from edgekd.core.errors import Problem, RequestError
from edgekd.core.refs import as_written
from edgekd.pipeline.document import parse_document, read_document, read_text
from edgekd.pipeline.kept import write_text

LONGEST_LINE = 4096
"""No line is broken that the user has not broken."""
DASH = re.compile(r"^( *)[^\s#-][^\n]*:[^\n]*\n( *)- ", re.MULTILINE)
"""A key and the first item of the list below it."""


def proposal(file: Path, stage: str, sets: Mapping[str, Any], why: str) -> str:
    """Return the text of `file` in which a stage learns by what is recommended.

    It says that and nothing else: where the rest would change with the stage, since others take
    parts of it over (`<<`), all is written out, without comments.
    """
    value = as_written(read_document(file).value)
    value["stages"][stage] = _changed(value["stages"][stage], sets)
    text = ""
    with suppress(Exception):  # ruamel's editing of what `<<` brings along fails in its own ways
        text = _edited(read_text(file), stage, sets)
    if not text or as_written(parse_document(text, str(file)).value) != value:
        text = _dumped(YAML(typ="safe", pure=True), value)
    day = datetime.now(UTC).date().isoformat()
    return f"# {stage}: chosen by `edgekd recommend {file.name}`, {day}:\n#   {why}\n{text}"


def _changed(options: Mapping[str, Any], sets: Mapping[str, Any]) -> dict[str, Any]:
    changed = {**options, **as_written(sets)}
    return {n: v for n, v in changed.items() if n not in sets or v is not None}


def _edited(text: str, stage: str, sets: Mapping[str, Any]) -> str:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    found = DASH.search(text)
    offset = max(0, len(found[2]) - len(found[1])) if found else 2
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    value = yaml.load(text)
    own = value["stages"][stage]
    for name, new in sets.items():
        if new is not None:
            own[name] = _on_one_line(new)
        elif name in own:
            del own[name]
    return _dumped(yaml, value)


def _dumped(yaml: Any, value: Any) -> str:
    yaml.width, yaml.sort_base_mapping_type_on_output = LONGEST_LINE, False
    out = StringIO()
    yaml.dump(value, out)
    return out.getvalue()


def _on_one_line(value: Any) -> Any:
    if isinstance(value, Mapping):
        mapping = CommentedMap({name: _on_one_line(one) for name, one in value.items()})
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq(map(_on_one_line, value))
        sequence.fa.set_flow_style()
        return sequence
    return value


def write(path: Path, text: str) -> None:
    """Write the proposal; RequestError where the folder does not take it."""
    try:
        write_text(path, text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise RequestError(Problem("", message, "Give another name with --out.")) from error
