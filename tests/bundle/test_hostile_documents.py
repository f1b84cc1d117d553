"""Whatever a bundle's own files say, it is refused or compared, and nothing else happens."""

import json
import random
from functools import cache

import pytest

import edgekd
from edgekd.bundle.compare import compare, read_measurements, sentence
from edgekd.bundle.document import NAME
from edgekd.bundle.environment import compare_environments
from edgekd.bundle.lock import lock
from edgekd.bundle.unpack import Archive
from edgekd.bundle.workplace import lay_out
from edgekd.core.errors import RequestError

from .zips import pack, rebuilt

ODD = (None, True, -1, 2**70, 1e308, "", "..", "/etc/passwd", "\x1b[2J", "é\u202e", [], {}, [[]],
       {"a": {"b": [1]}}, "9" * 5000)  # fmt: skip


def places(value, path=()):
    """Return every place in a JSON value."""
    items = value if isinstance(value, list) else ()
    inner = value.items() if isinstance(value, dict) else enumerate(items)
    found = [path] if path else []
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def spoiled(value, chance, count):
    """Return a copy of a JSON value with some places changed, gone or doubled."""
    value = json.loads(json.dumps(value))
    for _ in range(count):
        known = places(value)
        if not known:
            break
        *way, last = chance.choice(known)
        at = value
        for step in way:
            at = at[step]
        if chance.random() < 0.2:
            del at[last]
        elif chance.random() < 0.2 and isinstance(at, list):
            at.append(at[last])
        else:
            at[last] = chance.choice(ODD)
    return value


@pytest.fixture(scope="module")
def planned(finished):
    return edgekd.plan(finished.file, store=finished.store)


@pytest.fixture(autouse=True)
def packages_looked_up_once(monkeypatch):
    once = cache(lock)
    monkeypatch.setattr("edgekd.bundle.environment.lock", lambda names: once(frozenset(names)))


def survives(file, folder, finished, planned):
    """Open, lay out and compare a bundle; return whether it was refused."""
    (folder / "into").mkdir(parents=True)
    try:
        with Archive(file) as archive:
            bundle = archive.unpack(folder / "into")
        measured = read_measurements(bundle, folder / "into", str(file))
        lay_out(bundle, folder / "into", folder / "work", {}, trust_plugins=False)
    except RequestError:
        return True
    environment = compare_environments(bundle, planned)
    rows = list(compare(bundle, measured, environment, finished.result))
    assert sentence(rows, environment)
    assert all(str(one) for one in environment.differences)
    return False


def test_mutated_documents_are_refused_or_compared(finished, planned, tmp_path):
    chance, refused = random.Random(0), 0
    text = json.loads(finished.bundle.text())
    with Archive(finished.zip) as archive:
        archive.unpack(tmp_path)
    members = {name: (tmp_path / name).read_bytes() for name in finished.bundle.members}
    for number in range(60):
        document = json.dumps(spoiled(text, chance, chance.choice([1, 1, 2, 5])))
        file = pack(tmp_path / "b.zip", members, text=document)
        refused += survives(file, tmp_path / str(number), finished, planned)
    assert 10 < refused < 60, "some are refused and some go all the way"


def test_mutated_members_are_refused_or_compared(finished, planned, tmp_path):
    chance, refused = random.Random(1), 0
    for number in range(25):

        def change(document, members):
            name = chance.choice([n for n in members if n != NAME])
            ending = name.rpartition(".")[2]
            if ending == "json" and isinstance(value := json.loads(members[name]), dict):
                members[name] = json.dumps(spoiled(value, chance, 3)).encode()
            else:
                data = bytearray(members[name])
                for _ in range(4):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                members[name] = bytes(data)

        file = rebuilt(finished.zip, tmp_path / "b.zip", change)
        refused += survives(file, tmp_path / str(number), finished, planned)
    assert refused < 25
