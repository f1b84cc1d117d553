"""Structure-aware mutants: a file's values are changed, and it is written as YAML again."""

import json
import random
import re
from dataclasses import dataclass
from typing import Any

import yaml

from edgekd.core import kinds
from fuzz import hostile


@dataclass
class Mapping:
    """A mapping whose keys may repeat."""

    items: list[list[Any]]


@dataclass
class Verbatim:
    """YAML that is written as it is."""

    text: str


@dataclass
class Slot:
    """A place in a file: an item of a sequence, or of a mapping."""

    parent: list[Any]
    index: int
    key: str = ""
    """The key of a mapping's item."""

    @property
    def value(self) -> Any:
        return self.parent[self.index]

    @value.setter
    def value(self, new: Any) -> None:
        self.parent[self.index] = new


def tree_of(text: str) -> Any:
    """Return the values of a good file, in a form that can be made bad."""

    def converted(value: Any) -> Any:
        if isinstance(value, dict):
            return Mapping([[key, converted(item)] for key, item in value.items()])
        return [converted(item) for item in value] if isinstance(value, list) else value

    return converted(yaml.safe_load(text))


def copied(value: Any) -> Any:
    """Return a copy: mutants share nothing."""
    if isinstance(value, Mapping):
        return Mapping([[key, copied(item)] for key, item in value.items])
    return [copied(item) for item in value] if isinstance(value, list) else value


def written(value: Any, indent: int = 0) -> str:
    """Return YAML: blocks for the outer mappings, flow inside them."""
    if isinstance(value, Mapping) and value.items and indent <= 4:
        pad = " " * indent
        lines = [f"{pad}{key_text(key)}:{_below(item, indent)}" for key, item in value.items]
        return "\n".join(lines) + ("" if indent else "\n")
    return flow(value) + ("" if indent else "\n")


def _below(value: Any, indent: int) -> str:
    if isinstance(value, Mapping) and value.items and indent < 4:
        return "\n" + written(value, indent + 2)
    return " " + flow(value)


def flow(value: Any) -> str:
    """Return YAML in one line, as far as the mutation wants it to be."""
    if isinstance(value, Verbatim):
        return value.text
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key_text(key)}: {flow(item)}' for key, item in value.items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str):
        return value if re.fullmatch(r"[$A-Za-z_][\w.-]*", value) else hostile.quoted(value)
    return json.dumps(value)


def key_text(key: Any) -> str:
    """Return a key as YAML."""
    if isinstance(key, Verbatim):
        return key.text
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z_][\w-]*", text) else hostile.quoted(text)


def slots(tree: Any) -> list[Slot]:
    """Return every place of a file, the outermost first."""
    found: list[Slot] = []
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            inner = [Slot(item, 1, str(item[0])) for item in value.items]
        elif isinstance(value, list):
            inner = [Slot(value, index) for index in range(len(value))]
        else:
            continue
        found += inner
        waiting += [slot.value for slot in inner]
    return found


def mappings(tree: Any) -> list[Mapping]:
    """Return every mapping of a file."""
    inside = [slot.value for slot in slots(tree) if isinstance(slot.value, Mapping)]
    return [tree, *inside] if isinstance(tree, Mapping) else inside


class Mutation:
    """Changes one file in a few places."""

    def __init__(self, rng: random.Random, others: list[Any]):
        self.rng, self.others = rng, others

    def change(self, tree: Any) -> Any:
        """Return the tree after one change, which may be another tree."""
        change = self.rng.choices(list(CHANGES), list(CHANGES.values()))[0]
        places = slots(tree)
        return (change(self, tree, places) or tree) if places else tree

    def _hostile(self, tree: Any, places: list[Slot]) -> None:
        self.rng.choice(places).value = Verbatim(hostile.scalar(self.rng))

    def _near(self, tree: Any, places: list[Slot]) -> None:
        slot = self.rng.choice(_leaves(places) or places)
        slot.value = Verbatim(hostile.near(slot.value, self.rng))

    def _option(self, tree: Any, places: list[Slot]) -> None:
        """Give a plug-in an option that it has, with a value that it may not like."""
        used = [m for m in mappings(tree) if any(key == "kind" for key, _ in m.items)]
        if not used:
            return
        mapping = self.rng.choice(used)
        kind = next(value for key, value in mapping.items if key == "kind")
        fields = [f for r in kinds.KINDS.values() for f in _fields(r, kind)]
        if fields:
            name, annotation = self.rng.choice(fields)
            value = Verbatim(_of_type(annotation, self.rng))
            mapping.items = [item for item in mapping.items if item[0] != name] + [[name, value]]

    def _train(self, tree: Any, places: list[Slot]) -> None:
        """Change how something is trained, measured or written down, key by key."""
        from edgekd.core.checkpoint import Checkpoint
        from edgekd.devices.target import Bench, Hardware
        from edgekd.train.optim import Train

        options = {"train": Train, "bench": Bench, "checkpoint": Checkpoint, "hardware": Hardware}
        found = [slot for slot in places if slot.key in options]
        if not found:
            return
        slot = self.rng.choice(found)
        name, field = self.rng.choice(list(options[slot.key].model_fields.items()))
        value = Verbatim(_of_type(str(field.annotation), self.rng))
        old = slot.value.items if isinstance(slot.value, Mapping) else []
        slot.value = Mapping([item for item in old if item[0] != name] + [[name, value]])

    def _delete(self, tree: Any, places: list[Slot]) -> None:
        mapping = self.rng.choice(mappings(tree) or [Mapping([])])
        if mapping.items:
            del mapping.items[self.rng.randrange(len(mapping.items))]

    def _duplicate(self, tree: Any, places: list[Slot]) -> None:
        mapping = self.rng.choice(mappings(tree) or [Mapping([])])
        if mapping.items:
            item = self.rng.choice(mapping.items)
            mapping.items.insert(self.rng.randrange(len(mapping.items) + 1), copied(item))

    def _rename(self, tree: Any, places: list[Slot]) -> None:
        mapping = self.rng.choice(mappings(tree) or [Mapping([])])
        if mapping.items:
            item = self.rng.choice(mapping.items)
            text = str(item[0])
            at = self.rng.randrange(len(text) + 1)
            typo = text[:at] + self.rng.choice("abcxyz_-. ") + text[at + 1 :]
            item[0] = self.rng.choice([typo, self.rng.choice(hostile.KEYS), text.upper()])

    def _add(self, tree: Any, places: list[Slot]) -> None:
        mapping = self.rng.choice(mappings(tree) or [Mapping([])])
        known = [slot for other in self.others for slot in slots(other) if slot.key]
        key, value = copied(self.rng.choice(known).parent)[:2]
        if self.rng.random() < 0.5:
            key = self.rng.choice(hostile.KEYS)
        if self.rng.random() < 0.4:
            value = Verbatim(hostile.scalar(self.rng))
        mapping.items.insert(self.rng.randrange(len(mapping.items) + 1), [key, value])

    def _swap(self, tree: Any, places: list[Slot]) -> None:
        one, other = copied(self.rng.choice(places).value), self.rng.choice(places)
        other.value, _ = one, other.value

    def _splice(self, tree: Any, places: list[Slot]) -> None:
        donor = self.rng.choice(slots(self.rng.choice(self.others)))
        self.rng.choice(places).value = copied(donor.value)

    def _reference(self, tree: Any, places: list[Slot]) -> None:
        names = [str(key) for mapping in mappings(tree) for key, _ in mapping.items]
        name = self.rng.choice([*names, "nothing", "", "student.onnx", "$", "x" * 1000])
        refs = [slot for slot in places if str(slot.value).startswith("$")]
        self.rng.choice(refs or places).value = f"${name}"

    def _kind(self, tree: Any, places: list[Slot]) -> None:
        """Name a plug-in of another registry."""
        registry = self.rng.choice(list(kinds.KINDS.values()))
        found = [slot for slot in places if slot.key == "kind"]
        self.rng.choice(found or places).value = self.rng.choice(registry.names())

    def _many(self, tree: Any, places: list[Slot]) -> None:
        """Repeat an item until there are far too many."""
        count = self.rng.choice([2, 10, 50, 400])
        lists = [slot.value for slot in places if isinstance(slot.value, list) and slot.value]
        if lists and self.rng.random() < 0.7:
            chosen = self.rng.choice(lists)
            chosen += [copied(self.rng.choice(chosen)) for _ in range(count)]
            return
        mapping = self.rng.choice([m for m in mappings(tree) if m.items] or [Mapping([["a", 1]])])
        key, value = self.rng.choice(mapping.items)
        mapping.items += [[f"{key}{number}", copied(value)] for number in range(count)]

    def _chain(self, tree: Any, places: list[Slot]) -> None:
        """Add stages that each go on from the one before."""
        stages = next((s.value for s in places if s.key == "stages"), None)
        if isinstance(stages, Mapping):
            before = str(stages.items[0][0]) if stages.items else "c0"
            count = self.rng.choice([3, 30, 290, 600])
            for number in range(count):
                step = [["kind", "prune"], ["model", f"${before}"]]
                step += [["transform", Mapping([["kind", "channels"], ["ratio", 0.1]])]]
                before = f"c{number}"
                stages.items.append([before, Mapping(step)])
            self.rng.shuffle(stages.items)

    def _nest(self, tree: Any, places: list[Slot]) -> None:
        slot, depth = self.rng.choice(places), self.rng.choice([1, 5, 50, 70, 500])
        opening, closing = self.rng.choice([("[", "]"), ("{kind: ", "}"), ("{model: ", "}")])
        slot.value = Verbatim(opening * depth + flow(slot.value) + closing * depth)

    def _anchor(self, tree: Any, places: list[Slot]) -> None:
        """Name a value and use it elsewhere: after itself, before itself, or inside itself."""
        one, other = self.rng.choice(places), self.rng.choice(places)
        one.value = Verbatim(f"&a {flow(one.value)}")
        alias = self.rng.choice(["*a", "{<<: *a}", "[*a, *a]", "{<<: [*a, *a], kind: x}"])
        other.value = Verbatim(alias)

    def _tag(self, tree: Any, places: list[Slot]) -> None:
        tags = ["!!str", "!!int", "!!float", "!!map", "!!seq", "!x", "!!python/object:os", "!!set"]
        slot = self.rng.choice(places)
        slot.value = Verbatim(f"{self.rng.choice(tags)} {flow(slot.value)}")

    def _plugins(self, tree: Any, places: list[Slot]) -> None:
        if isinstance(tree, Mapping):
            tree.items.append(["plugins", Verbatim(self.rng.choice(PLUGINS))])

    def _other_root(self, tree: Any, places: list[Slot]) -> Any:
        return self.rng.choice([self.rng.choice(places).value, [tree], Verbatim(""), "text", 5])


CHANGES = {
    Mutation._hostile: 10,
    Mutation._near: 14,
    Mutation._option: 14,
    Mutation._train: 5,
    Mutation._delete: 4,
    Mutation._duplicate: 2,
    Mutation._rename: 5,
    Mutation._add: 6,
    Mutation._swap: 4,
    Mutation._splice: 5,
    Mutation._reference: 5,
    Mutation._kind: 4,
    Mutation._many: 0.5,
    Mutation._chain: 0.1,
    Mutation._nest: 2,
    Mutation._anchor: 3,
    Mutation._tag: 2,
    Mutation._plugins: 2,
    Mutation._other_root: 0.5,
}
"""What may happen to a file, and how often."""

PLUGINS = (
    "[sentinel.py]",
    "[./sentinel.py, mine.py]",
    "['']",
    "['.']",
    "['..']",
    "['.py']",
    "['a\\0.py']",
    '["a\\0.py"]',
    '["a\\0"]',
    "[1, null, true]",
    "[[sentinel.py]]",
    "[{sentinel.py: sentinel.py}]",
    "[{path: sentinel.py}]",
    "sentinel.py",
    "{sentinel.py: 1}",
    "[sentinel]",
    "[.sentinel]",
    "[../sentinel.py]",
    "[/nowhere/x.py]",
    "[photos.py]",
    "[folder.py]",
    "[raises.py]",
    "[leaves.py]",
    "[broken.py]",
    "[binary.py]",
    "[edgekd.models.resnet]",
    "[json]",
    "[json.nothing]",
    "['json;os']",
    "['x y']",
    f"[{'x' * 300}.py]",
    f"[{'x' * 5000}]",
    f"[{'a.' * 2000}a]",
    "[é]",
    "[😀.py]",
)


def _leaves(places: list[Slot]) -> list[Slot]:
    return [s for s in places if not isinstance(s.value, Mapping | list | Verbatim)]


def _fields(registry: Any, kind: Any) -> list[tuple[str, str]]:
    if not isinstance(kind, str) or kind not in registry.names():
        return []
    fields = registry.get(kind).config.model_fields
    return [(name, str(field.annotation)) for name, field in fields.items()]


def _of_type(annotation: str, rng: random.Random) -> str:
    """Return YAML of about the type that an option has."""
    words = re.findall(r"'(\w+)'", annotation)
    if words and rng.random() < 0.5:
        return rng.choice(words)
    if "tuple" in annotation and rng.random() < 0.6:
        return f"[{', '.join(_number(rng) for _ in range(rng.choice([0, 1, 2, 3, 5, 40])))}]"
    if "dict" in annotation or "Mapping" in annotation:
        return rng.choice(["{}", "{a: 1}", "{model_type: vit}", '{accuracy: ">= 0.1"}', "[]"])
    if "str" in annotation and rng.random() < 0.5:
        return hostile.quoted(rng.choice(hostile.TEXTS))
    if "bool" in annotation:
        return rng.choice(["true", "false", "0", "x"])
    return _number(rng)


def _number(rng: random.Random) -> str:
    whole = str(
        rng.choice([0, 1, 2, 3, 5, 7, 8, 14, 16, 31, 64, 1000, 65536, 10**6, 10**9, 10**12])
    )
    share = repr(rng.choice([0.0, 0.1, 0.3, 0.5, 0.9, 0.99, 1.0, 1.1, 4.0, 1e-9, 1e9]))
    return rng.choice([whole, whole, share, f"-{whole}", hostile.scalar(rng)])
