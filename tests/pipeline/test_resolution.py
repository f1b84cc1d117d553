"""Plans that are kept: as they were written, or made anew."""

from dataclasses import fields, replace
from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace

import pytest

from edgekd.core.artifact import digest_file
from edgekd.pipeline import resolution
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


@pytest.fixture
def made_anew(tmp_path):
    """Return a function that asks for a plan and tells whether it was made then."""
    (tmp_path / "x.yaml").write_text(TEXT)
    store, made = Store(tmp_path / "store"), []
    store.prepare()

    def ask(*sets, **says):
        def resolve(request):
            made.append(request)
            return replace(plan(request), **says)

        before = len(made)
        resolved(Request(str(tmp_path / "x.yaml"), sets), store, SimpleNamespace(resolve=resolve))
        return len(made) > before

    return ask


PLUG_IN = EntryPoints([EntryPoint("odd", "theirs:model", "edgekd.models")])
ANOTHER = {
    "text": lambda patch, folder: (folder / "x.yaml").write_text(TEXT + "seed: 1\n"),
    "edgekd": lambda patch, folder: patch.setattr(resolution, "package_digest", lambda: "other"),
    "plug-in": lambda patch, folder: patch.setattr(
        "importlib.metadata.entry_points", lambda: PLUG_IN
    ),
    "processors": lambda patch, folder: patch.setattr(resolution, "allowed_processors", lambda: 99),
    "gpu": lambda patch, folder: patch.setenv("CUDA_VISIBLE_DEVICES", "7"),
}


@pytest.mark.parametrize("what", ANOTHER)
def test_a_plan_is_kept_until_what_it_was_made_of_is_another(
    made_anew, tmp_path, monkeypatch, what
):
    assert made_anew()
    assert not made_anew()
    ANOTHER[what](monkeypatch, tmp_path)
    assert made_anew()
    assert not made_anew()


def test_another_request_has_a_plan_of_its_own(made_anew):
    assert made_anew()
    assert made_anew("seed=1")
    assert not made_anew()


def test_a_plan_is_made_anew_where_a_file_that_it_was_read_from_changed_or_is_gone(
    made_anew, tmp_path
):
    file = tmp_path / "mine.py"
    file.write_text("1")
    before = {str(file): digest_file(file)}
    assert made_anew(depends=before)
    assert not made_anew()
    file.write_text("2")
    assert made_anew(depends=before)
    file.unlink()
    assert made_anew(depends={})
    assert not made_anew()


def test_a_plan_that_somebody_edited_is_made_anew(made_anew, tmp_path):
    assert made_anew()
    (file,) = (tmp_path / "store" / "plans").iterdir()
    whole = file.read_text()
    file.write_text(whole.replace('"name": "x"', '"name": "y"'))
    assert file.read_text() != whole
    assert made_anew()
