"""Names of files in a bundle."""

from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from edgekd.bundle.names import clash, objection

PARTS = st.text(st.sampled_from("aA/\\.:\0 é~C"), max_size=12)


@given(PARTS)
def test_a_name_without_objection_stays_inside_on_every_system(name):
    if not objection(name):
        for path in (PurePosixPath(name), PureWindowsPath(name)):
            assert not path.is_absolute()
            assert not path.drive
            assert ".." not in path.parts
        assert PurePosixPath(name).parts == PureWindowsPath(name).parts == tuple(name.split("/"))


@given(st.lists(PARTS, max_size=6))
def test_names_that_do_not_clash_are_as_many_in_any_case(names):
    if not clash(names):
        assert len({name.casefold() for name in names}) == len(names)


def test_names_of_a_usual_bundle_are_sound():
    names = ["pipeline.yaml", "stages/01-a.onnx/manifest.json", "targets/Mein Gerät.yaml"]
    assert not any(map(objection, names))
    assert not clash(names)
