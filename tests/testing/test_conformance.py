"""Every registered plug-in keeps the promises of its kind."""

import pytest
import torch

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.refs import UseTask
from edgekd.core.registry import PACKAGE, Plugin
from edgekd.core.signals import SIGNALS
from edgekd.testing.conformance import (
    EVERY_OBJECTIVE,
    EVERY_PLUGIN,
    EVERY_TASK,
    begins_where_it_is_told,
    divides_its_batches,
    finds_the_same_in_any_order,
    teaches_the_student,
)

ALL = [
    (kind, plugin.name)
    for kind, registry in kinds.KINDS.items()
    for plugin in registry
    if plugin.source.is_relative_to(PACKAGE)  # another test's plug-ins are not ours
]


@pytest.mark.parametrize("promise", EVERY_PLUGIN, ids=lambda p: p.__name__)
@pytest.mark.parametrize(("kind", "name"), ALL, ids=lambda v: v)
def test_a_plugin_keeps_the_promises_of_all(kind, name, promise):
    promise(kinds.KINDS[kind].get(name))


@pytest.mark.parametrize("promise", EVERY_OBJECTIVE, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", kinds.objective.names())
def test_an_objective_keeps_the_promises_of_objectives(name, promise):
    promise(kinds.objective.get(name))


@pytest.mark.parametrize("name", kinds.objective.names())
def test_an_objective_asks_only_for_signals_of_the_vocabulary(name):
    assert set(kinds.objective.get(name).needs) <= set(SIGNALS)


@pytest.fixture
def digits():
    given = {"kind": "image_classification", "data": "digits", "train_examples": 101}
    return UseTask.model_validate(given).build()


@pytest.fixture
def mails(tmp_path):
    rows = [f"text number {i},{'spam' if i % 2 else 'ham'}" for i in range(40)]
    (tmp_path / "mails.csv").write_text("\n".join(["text,label", *rows]))
    data = {"kind": "text_file", "train": str(tmp_path / "mails.csv")}
    return UseTask.model_validate({"kind": "text_classification", "data": data}).build()


@pytest.mark.parametrize("promise", EVERY_TASK, ids=lambda p: p.__name__)
def test_the_task_of_texts_keeps_the_promises_of_tasks(mails, promise):
    promise(mails)


@pytest.mark.parametrize("promise", EVERY_TASK, ids=lambda p: p.__name__)
def test_the_task_of_pictures_keeps_the_promises_of_tasks(digits, promise):
    promise(digits)


def uneven(ids, which, of):
    """Return parts of which the last are the larger."""
    bounds = [number * len(ids) // of for number in (which, which + 1)]
    return ids if len(ids) < of else ids[slice(*bounds)]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (lambda ids, which, of: ids, "another batch"),
        (lambda ids, which, of: ids[which::of], "another batch"),
        (uneven, "examples, not"),
        (lambda ids, which, of: torch.tensor_split(ids, of)[which], "is divided"),
    ],
)
def test_a_task_that_divides_its_batches_in_another_way_is_found_out(
    digits, ids, says, monkeypatch
):
    def part_of(whole, part):
        return ids(whole, *part) if part[1] > 1 else whole

    monkeypatch.setattr("edgekd.ops.batches.part_of", part_of)
    with pytest.raises(AssertionError, match=says):
        divides_its_batches(digits)


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_task_that_begins_elsewhere_is_found_out(digits, wrong, monkeypatch):
    batches = type(digits).batches
    late = lambda self, *given, start, **named: batches(self, *given, start=wrong, **named)  # noqa: E731
    monkeypatch.setattr(type(digits), "batches", late)
    with pytest.raises(AssertionError, match=r"a pass from \d has \d batches"):
        begins_where_it_is_told(digits)


def test_a_plugin_that_teaches_nothing_is_found_out():
    def idle(config, *, student_logits):
        return (student_logits * 0).sum(-1)

    with pytest.raises(AssertionError, match="is zero"):
        teaches_the_student(Plugin("objective", "idle", idle, Config))


def test_what_is_found_in_one_order_alone_is_found_out():
    class Last(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.register_buffer("found", torch.zeros(12))

        def fit(self, batches):
            for signals in batches:
                self.found.copy_(signals["teacher_feature"][0])

        def forward(self, *, teacher_feature):
            return (teacher_feature - self.found).mean(1)

    with pytest.raises(AssertionError, match="not close"):
        finds_the_same_in_any_order(Plugin("objective", "last", Last, Config))


def test_an_option_without_a_text_is_found_out():
    class Silent(Config):
        width: int = 3

    def silent(config):
        return torch.nn.Identity()

    with pytest.raises(AssertionError, match="width has no text"):
        EVERY_PLUGIN[1](Plugin("model", "silent", silent, Silent))


def test_an_option_that_hides_what_every_term_has_is_found_out():
    class Heavy(Config):
        weight: float = 2.0
        """Of its own."""

    def heavy(config, *, student_logits):
        return student_logits.sum(-1)

    with pytest.raises(AssertionError, match="heavy has an option weight, which every term has"):
        EVERY_OBJECTIVE[0](Plugin("objective", "heavy", heavy, Heavy))
