"""A signature survives a file, and says nothing of what is not known."""

from edgekd.core.signature import Port, Signature

IMAGE = Signature(
    (Port("image", "float32", ("batch", 1, 8, 8)),), (Port("logits", "float32", ("batch", 10)),)
)
TEXT = Signature(
    (Port("input_ids", "int64", ("batch", "sequence"), values=4000),),
    (Port("logits", "float32", ("batch", 2)),),
    state=(("cache", "past"),),
    most=(("sequence", 128),),
)


def test_it_comes_back_from_a_file_as_it_was():
    for signature in (IMAGE, TEXT):
        assert Signature.from_dict(signature.as_dict()) == signature


def test_a_file_does_not_mention_what_is_not_known():
    described = IMAGE.as_dict()
    assert set(described) == {"inputs", "outputs", "state"}
    assert list(described["inputs"][0]) == ["name", "dtype", "shape"]


def test_named_dimensions_are_as_large_as_they_get():
    assert TEXT.inputs[0].concrete(**TEXT.sizes(3)) == (3, 128)
    assert IMAGE.inputs[0].concrete(**IMAGE.sizes(3)) == (3, 1, 8, 8)
