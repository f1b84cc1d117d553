"""Plans that are kept: as they were written, or made anew."""

from dataclasses import fields
from types import SimpleNamespace

import pytest

from edgekd.pipeline.kept import write_sealed
from edgekd.pipeline.resolution import resolved
from edgekd.pipeline.resolved import Request, Resolved
from edgekd.pipeline.store import Store

TEXT = "name: x\n"


def plan(request):
    blank = {field.name: "" for field in fields(Resolved)}
    own = {"name": "x", "request": request, "stages": (), "depends": {}, "versions": {}}
    own |= {"target_files": {}}
    return Resolved(**blank | own)


@pytest.mark.parametrize(
    "other",
    [5, [], {}, {"stages": 5}, {"stages": [5]}, {"stages": [], "request": []}, {"depends": []}],
    ids=str,
)
def test_a_plan_that_says_something_else_is_made_anew(tmp_path, other):
    (tmp_path / "x.yaml").write_text(TEXT)
    request, store, made = Request(str(tmp_path / "x.yaml")), Store(tmp_path / "store"), []
    store.prepare()

    def resolve(request):
        made.append(request)
        return plan(request)

    again = SimpleNamespace(resolve=resolve)
    first = resolved(request, store, again)
    assert resolved(request, store, again).name == first.name
    assert len(made) == 1
    (file,) = (store.root / "plans").iterdir()
    whole = first.as_dict() | other if other == {"depends": []} else other
    write_sealed(file, whole)
    assert resolved(request, store, again) == first
    assert len(made) == 2
