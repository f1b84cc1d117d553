"""What may stand under `track:`, and what each mistake is told."""

import importlib.util
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from edgekd.core.errors import RequestError
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.schema import pipeline_schema
from edgekd.track.options import Mlflow, Track, address

FILE = """\
name: tiny
{track}
task: {{kind: image_classification, data: digits, train_examples: 128}}
stages:
  teacher: {{kind: teacher, model: {{kind: depthwise, width: 8}}, train: {{epochs: 1}}}}
"""


@pytest.fixture
def installed(monkeypatch):
    """Return a function that says which modules are installed."""
    found = importlib.util.find_spec

    def only(*modules):
        named = {"tensorboard", "mlflow", "sqlalchemy", "alembic"}
        spec = importlib.util.spec_from_loader("x", None)
        told = {name: spec if name in modules else None for name in named}
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda n, *a: told[n] if n in told else found(n, *a)
        )

    return only


@pytest.fixture
def refused(tmp_path, installed):
    """Return a function from a line to the problems of a file that has it."""

    def problems(line):
        (tmp_path / "tiny.yaml").write_text(FILE.format(track=line))
        with pytest.raises(RequestError) as caught:
            resolve(Request(str(tmp_path / "tiny.yaml")))
        return [str(problem) for problem in caught.value.problems]

    return problems


def test_a_package_that_is_not_there_is_named_with_its_place_and_cure(refused, installed):
    installed("mlflow", "alembic")
    first, second = refused("track: {tensorboard: tb, mlflow: {}}")
    assert "tiny.yaml:2: track.tensorboard\n" in first
    assert "it takes tensorboard, which this Python does not have" in first
    assert "pip install 'edgekd[track]'" in first
    assert "tiny.yaml:2: track.mlflow\n" in second
    assert "it takes sqlalchemy, which" in second


def test_a_package_that_nobody_asks_for_may_be_absent(tmp_path, installed):
    installed()
    (tmp_path / "tiny.yaml").write_text(FILE.format(track="track: {}"))
    assert resolve(Request(str(tmp_path / "tiny.yaml"))).track == {
        "tensorboard": None, "mlflow": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "path", "words"),
    [
        ("track: {tensorbord: tb}", "track.tensorbord", "Did you mean 'tensorboard'"),
        ("track: {tensorboard: 3}", "track.tensorboard", "expected a valid string, found 3"),
        ("track: {mlflow: {url: x}}", "track.mlflow.url", "Did you mean 'uri'"),
        ("track: {mlflow: {uri: ./mlruns}}", "track.mlflow.uri", "sqlite:///mlflow.db, or"),
        ("track: {mlflow: {uri: file:///a}}", "track.mlflow.uri", "plain folders"),
        ("track: {mlflow: {uri: 'sqlite://'}}", "track.mlflow.uri", "expected sqlite:///FILE"),
        ("track: {mlflow: {uri: 'http://a:b@c'}}", "track.mlflow.uri", "MLFLOW_TRACKING_PASSWORD"),
        ("track: {mlflow: {experiment: ''}}", "track.mlflow.experiment", "at least 1"),
        ("track: [tensorboard]", "track", "found a list"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place(refused, line, path, words):
    (problem,) = refused(line)
    assert f"tiny.yaml:2: {path}\n" in problem
    assert words in problem


def test_a_database_of_ones_own_lies_beside_the_pipeline(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    asked = Mlflow.model_validate({"uri": "sqlite:///a/b.db"}, context={"beside": Path("/home/x")})
    assert asked.uri == "sqlite:////home/x/a/b.db"
    whole = Mlflow.model_validate({"uri": "sqlite:////a.db"}, context={"beside": Path("/home/x")})
    assert whole.uri == "sqlite:////a.db"
    assert address(Mlflow(), Path("/home/x")) == "sqlite:////home/x/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert address(Mlflow(), Path("/home/x")) == "http://server"
    assert address(asked, Path("/home/x")) == asked.uri


def test_what_is_resolved_reads_back():
    written = {"tensorboard": "/tb", "mlflow": {"uri": "sqlite:////a.db", "experiment": None}}
    assert Track.model_validate(written).model_dump() == written


def test_only_what_is_asked_for_counts_among_the_packages():
    assert Track().distributions == []
    assert Track.model_validate({"tensorboard": "/tb"}).distributions == ["tensorboard"]


@pytest.mark.parametrize(
    ("track", "fits"),
    [
        ({"tensorboard": "tb"}, True),
        ({"mlflow": {}}, True),
        ({"mlflow": {"uri": "http://server", "experiment": "x"}}, True),
        ({"tensorbord": "tb"}, False),
        ({"mlflow": {"experiment": ""}}, False),
        ({"mlflow": "http://server"}, False),
    ],
    ids=str,
)
def test_the_schema_knows_it(track, fits):
    jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra 'test'")
    written = YAML(typ="safe", pure=True).load(FILE.format(track=""))
    check = jsonschema.Draft202012Validator(pipeline_schema())
    assert check.is_valid(written | {"track": track}) == fits
