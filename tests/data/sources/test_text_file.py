"""A source of the user's own texts."""

import pytest
from pydantic import ValidationError

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseSource

HEADER = "text,label\n"
MANY = HEADER + "".join(f"text number {i},{'spam' if i % 4 == 0 else 'ham'}\n" for i in range(100))
OTHERS = HEADER + "other spam,spam\nother ham,ham\n"


def build(folder, **options):
    places = {
        name: str(folder / value) if isinstance(value, str) and value.endswith(".csv") else value
        for name, value in options.items()
    }
    return UseSource.model_validate({"kind": "text_file", **places}).build()


def test_one_file_is_divided_and_its_classes_are_sorted(put):
    source = build(put(**{"a.csv": MANY}), train="a.csv", validation=0.2, test=0.1)
    assert source.labels == ("ham", "spam")
    assert [source.count(s) for s in ("train", "validation", "test")] == [70, 20, 10]
    assert source.load("validation")["label"].mean() == pytest.approx(0.25, abs=0.05)


def test_a_name_leads_to_the_row_of_the_file(put):
    folder = put(**{"a.csv": MANY})
    source = build(folder, train="a.csv")
    lines = (folder / "a.csv").read_text().splitlines()
    for text, name in zip(source.load("test")["text"], source.names("test"), strict=True):
        assert lines[int(name.removeprefix("a.csv:")) - 1].startswith(text)


def test_a_split_may_have_its_own_file(put):
    folder = put(**{"a.csv": MANY, "b.csv": OTHERS})
    source = build(folder, train="a.csv", test="b.csv")
    assert sorted(source.load("test")["text"]) == ["other ham", "other spam"]
    assert (source.count("train"), source.count("validation")) == (90, 10)
    assert {path.name for path in source.files()} == {"a.csv", "b.csv"}


def test_the_seed_moves_the_division(put):
    folder = put(**{"a.csv": MANY})
    one, same, other = (build(folder, train="a.csv", seed=s).names("test") for s in (0, 0, 1))
    assert one == same
    assert sorted(one) != sorted(other)


def test_classes_may_be_numbers_or_absent(put):
    folder = put(**{"a.jsonl": "".join(f'{{"t": "x{i}", "y": {i % 2}}}\n' for i in range(20))})
    path = str(folder / "a.jsonl")
    named = UseSource.model_validate(
        {"kind": "text_file", "train": path, "text": "t", "label": "y"}
    )
    assert named.build().labels == ("0", "1")
    bare = UseSource.model_validate(
        {"kind": "text_file", "train": path, "text": "t", "label": None}
    )
    assert set(bare.build().load("train")) == {"text"}
    assert bare.build().shapes == {"text": ()}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (HEADER + "a,ham\n ,spam\n,ham\n", r"'text' of .* no text in 2 \(a.csv:3, a.csv:4\) rows"),
        (
            HEADER + "a,ham\nb,\n",
            r"'label' of .* has no class \(a text or a whole number\) in 1 \(a.csv:3\) rows",
        ),
        (HEADER, "a.csv has no rows"),
        (HEADER + "a,ham\n", "1 texts cannot be divided"),
    ],
)
def test_rows_without_text_or_class_are_named_before_the_run(put, content, says):
    source = build(put(**{"a.csv": content}), train="a.csv")
    (problem,) = source.check()
    with pytest.raises(RequestError, match=says):
        raise RequestError(problem)


def test_a_class_that_train_lacks_is_refused(put):
    folder = put(**{"a.csv": MANY, "b.csv": HEADER + "x,phishing\n"})
    with pytest.raises(RequestError, match=r"no training text has the class 'phishing'"):
        build(folder, train="a.csv", test="b.csv").load("test")


def test_files_that_are_missing_are_all_named(put):
    folder = put(**{"a.csv": MANY})
    with pytest.raises(RequestError) as error:
        build(folder, train="x.csv", validation="y.csv", test="a.csv").files()
    assert [p.message.count("there is no file") for p in error.value.problems] == [1, 1]


@pytest.mark.parametrize("shares", [{"validation": 0.5, "test": 0.5}, {"test": 0.0}, {"test": 1}])
def test_shares_that_cannot_be_are_refused(put, shares):
    with pytest.raises(ValidationError):
        build(put(**{"a.csv": MANY}), train="a.csv", **shares)
