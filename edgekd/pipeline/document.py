"""Reading a YAML file: plain values, and the line on which each of them stands."""

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from edgekd.core.errors import Problem, RequestError, nearest

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_DEPTH = 60
MAX_BITS = 63
INDEX = re.compile(r"[0-9]{1,9}\]")

Steps = tuple[str | int, ...]
"""A way into the document: mapping keys and sequence indices."""


@dataclass(frozen=True)
class Document:
    """What a file says, and where it says it."""

    value: Any
    """Values only: sequences are tuples, mappings are dicts with text keys."""
    places: Mapping[Steps, str]
    """`file:line` of every value; of a mapping's item, the line of its key."""
    origins: Mapping[Steps, Steps] = field(default_factory=dict)
    """Where that was written which stands for something else: a control's options are its stage's,
    an option of a trial is a value of the sweep."""

    def place(self, steps: Steps) -> str:
        """Return the place of a value, or of the nearest one around it."""
        steps = self.written(steps)
        while steps not in self.places and steps:
            steps = steps[:-1]
        return self.places.get(steps, "")

    def written(self, steps: Steps) -> Steps:
        """Return the way to where a value was written."""
        for end in range(len(steps), 0, -1):
            if steps[:end] in self.origins:
                return self.written(self.origins[steps[:end]] + steps[end:])
        return steps

    def problem(self, steps: Steps, message: str, next_step: str = "") -> Problem:
        """Return what is wrong with a value, where it was written."""
        return Problem(spell(self.written(steps)), message, next_step, self.place(steps))

    def with_origins(self, origins: Mapping[Steps, Steps]) -> "Document":
        """Return the document with more values that were written elsewhere."""
        return replace(self, origins={**self.origins, **origins})


def spell(steps: Steps) -> str:
    """Return `stages.student.objective[0].kind`."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def steps_of(path: str) -> Steps:
    """Return the way that `spell` spells."""
    flat = path.replace("[", ".").replace("]", "")
    return tuple(int(part) if part.isdigit() else part for part in flat.split(".") if part)


def read_document(path: Path) -> Document:
    """Return a file's content; RequestError says where and why it cannot be read."""
    return parse_document(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return a file's text; RequestError where it is absent, too large or not UTF-8."""
    try:
        if path.is_dir():
            raise _refusal(str(path), "this is a folder.", "Give a pipeline file.")
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a device or a pipe may have no end
            raise _refusal(str(path), "this is no file but a device or a pipe.", "Save it first.")
        if found.st_size > MAX_BYTES:
            raise _refusal(
                str(path),
                f"the file has {found.st_size:,} bytes; 1 MiB is the limit.",
                "Give a pipeline file; data and weights are named in it by path.",
            )
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise _refusal(str(path), "there is no such file.", "Write one with: edgekd init") from None
    except UnicodeDecodeError as error:
        raise _refusal(
            str(path), f"byte {error.start} is not UTF-8.", "Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise _refusal(str(path), f"cannot be read: {error.strerror}.", "") from error


def parse_document(text: str, origin: str) -> Document:
    """Return the values of a YAML text; `origin` names it in messages."""
    try:
        nodes = list(YAML(typ="safe", pure=True).compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{origin}:{mark.line + 1}" if mark else origin
        raise _refusal(line, f"not YAML: {_plain(error)}", _yaml_remedy(text, error)) from error
    except Exception as error:  # AssertionError on '%YAML 1.5', and whatever else it has
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refusal(origin, f"not YAML: {reason}", "") from error
    if len(nodes) > 1:
        raise _refusal(origin, "the file holds several YAML documents.", "Keep one; remove ---.")
    if not nodes or nodes[0] is None:
        raise _refusal(origin, "the file is empty.", "Write one with: edgekd init")
    reader = _Reader(origin)
    value = reader.read(nodes[0], ())
    if reader.problems:
        raise RequestError(reader.problems)
    return Document(value, reader.places)


def override(document: Document, assignments: Sequence[str]) -> Document:
    """Return the document with each `path=value` set; the value is read as YAML."""
    value, places = document.value, dict(document.places)
    for assignment in assignments:
        if not _is_text(assignment):
            shown = assignment.encode("utf-8", "backslashreplace").decode()
            raise _refusal(f"--set {shown}", "this is not UTF-8.", "Retype it.")
        origin = f"--set {assignment}"
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise _refusal(origin, "expected PATH=VALUE.", "As in: --set seed=1")
        steps = _into_sweep(value, parse_path(path, origin))
        new = parse_document(text, origin).value if text.strip() else None
        value = with_value(value, steps, new, origin)
        places = {at: place for at, place in places.items() if at[: len(steps)] != steps}
        places[steps] = origin
    return Document(value, places)


def _refusal(place: str, message: str, next_step: str) -> RequestError:
    return RequestError(Problem("", message, next_step, place))


def _plain(error: MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part) + "."


def _yaml_remedy(text: str, error: MarkedYAMLError) -> str:
    lines = text.splitlines()
    mark = error.problem_mark
    if mark and mark.line < len(lines) and "\t" in lines[mark.line]:
        return "The line holds a tab; YAML is indented with spaces."
    return "Check the indentation, colons and quotes around this line."


class _Reader:
    """Turns nodes into values; remembers places, and every problem instead of the first."""

    def __init__(self, origin: str):
        self.origin, self.count, self.merges = origin, 0, 0
        self.places: dict[Steps, str] = {}
        self.problems: list[Problem] = []

    def read(self, node: Node, steps: Steps) -> Any:
        self.places.setdefault(steps, self._line(node))
        self._count(node, len(steps))
        kind = str(node.tag).rpartition(":")[2]
        if kind not in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp"):
            message = f"the tag {node.tag} is not allowed; a file holds values only."
            step = "Remove the tag. Code comes in as a plug-in, listed under plugins:."
            self._problem(node, steps, message, step)
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, steps)
        if isinstance(node, SequenceNode):
            return tuple(self.read(item, (*steps, i)) for i, item in enumerate(node.value))
        text = _joined(node.value)
        if not _is_text(text):
            self._problem(node, steps, "the text holds half of a character.", "Retype it.")
            return None
        value = _scalar(kind, text)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            self._problem(
                node, steps, "the number needs more than 64 bits.", "Write a smaller one."
            )
            return None
        return value

    def _count(self, node: Node, depth: int) -> None:
        """Refuse a file that a few aliases make endless, or too large to look at."""
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise _refusal(
                self._line(node),
                "the file expands to too many or too deeply nested values.",
                "Check its anchors and aliases.",
            )

    def _line(self, node: Node) -> str:
        return f"{self.origin}:{node.start_mark.line + 1}"

    def _mapping(self, node: MappingNode, steps: Steps) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag) == "tag:yaml.org,2002:merge":
                merged = self._merge(value_node, steps) | merged
                continue
            key = _joined(key_node.value)
            if not isinstance(key_node, ScalarNode) or not isinstance(key, str):
                self._problem(
                    key_node, steps, "a key must be plain text.", "Quote it or rename it."
                )
            elif not _is_text(key):
                self._problem(key_node, steps, "a key holds half of a character.", "Retype it.")
            elif key in own:
                first = self.places[*steps, key].rpartition(":")[2]
                self._problem(
                    key_node,
                    (*steps, key),
                    f"'{key}' is already given in line {first}.",
                    "Keep one of the two.",
                )
            else:
                self.places[*steps, key] = self._line(key_node)
                own[key] = self.read(value_node, (*steps, key))
        return merged | own

    def _merge(self, node: Node, steps: Steps) -> dict[str, Any]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Any] = {}
        self.merges += 1
        for source in sources:
            self._count(source, self.merges)
            if isinstance(source, MappingNode):
                merged = self._mapping(source, steps) | merged
            else:
                self._problem(source, steps, "<< needs a mapping.", "Give it an alias of one.")
        self.merges -= 1
        return merged

    def _problem(self, node: Node, steps: Steps, message: str, next_step: str) -> None:
        self.problems.append(Problem(spell(steps), message, next_step, self._line(node)))


def _scalar(kind: str, text: str) -> Any:
    """Return the value of a plain scalar; text where it only looks like a number."""
    try:
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            prefixed = text.lstrip("+-")[:2].lower() in ("0x", "0o", "0b")
            return int(text.replace("_", ""), 0 if prefixed else 10)
        if kind == "float":
            return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
    return text


def _joined(text: Any) -> Any:
    """Return text with pairs of surrogates, as JSON escapes spell them, made characters."""
    if not isinstance(text, str) or _is_text(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _is_text(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: half a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def parse_path(path: str, origin: str) -> Steps:
    """Return the steps of `objective[0].weight`; RequestError, at `origin`, where it is no path."""
    steps: list[str | int] = []
    for part in path.split("."):
        name, *indices = part.split("[")
        if not name or not all(INDEX.fullmatch(index) for index in indices):
            raise _refusal(
                origin, f"'{path}' is not a path.", "As in: stages.student.objective[0].weight"
            )
        steps += [name, *(int(index[:-1]) for index in indices)]
    if len(steps) > MAX_DEPTH:
        raise _refusal(origin, f"the path has {len(steps)} steps; {MAX_DEPTH} are the most.", "")
    return tuple(steps)


def _into_sweep(value: Any, steps: Steps) -> Steps:
    """Return steps into a sweep with the path that it names as one: such paths are its keys.

    `sweep.student.grid.train.learning_rate` and an index behind it lead to a key that is there.
    """
    start = 3 if steps[2:3] == ("grid",) else 4
    if steps[0] != "sweep" or len(steps) <= start:
        return steps
    last = len(steps) - isinstance(steps[-1], int)
    known = _at(value, (*steps[:start], spell(steps[start:last])))
    end = last if known is not None else len(steps)
    return (*steps[:start], spell(steps[start:end]), *steps[end:])


def _at(value: Any, steps: Steps) -> Any:
    """Return what lies at the end of steps; None where nothing does."""
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def with_value(value: Any, steps: Steps, new: Any, origin: str, done: Steps = ()) -> Any:
    """Return `value`, to which `done` led, with `new` at the end of `steps`.

    RequestError, at `origin`, where the steps lead nowhere.
    """
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    here = spell((*done, step))
    if isinstance(step, int):
        if not isinstance(value, tuple) or step >= len(value):
            raise _refusal(origin, f"there is no {here} in the file.", "Indices count from 0.")
        return (
            *value[:step],
            with_value(value[step], rest, new, origin, (*done, step)),
            *value[step + 1 :],
        )
    if isinstance(value, str) and done:  # a plug-in by name alone: make room for its options
        value = {"kind": value}
    if value is not None and not isinstance(value, dict):
        raise _refusal(origin, f"{spell(done)} is not a mapping, so it has no '{step}'.", "")
    inner = (value or {}).get(step)
    if done == ("stages",) and step not in (value or {}):
        raise _refusal(origin, f"there is no {here} in the file.", nearest(str(step), _keys(value)))
    return (value or {}) | {step: with_value(inner, rest, new, origin, (*done, step))}


def _keys(value: Any) -> Iterator[str]:
    yield from (value or {})
