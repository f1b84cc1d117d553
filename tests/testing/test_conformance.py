"""Every registered plug-in keeps the promises of its kind."""

import pytest
import torch

from edgekd.core import kinds
from edgekd.core.config import Config
from edgekd.core.registry import PACKAGE, Plugin
from edgekd.core.signals import SIGNALS
from edgekd.testing.conformance import EVERY_OBJECTIVE, EVERY_PLUGIN, teaches_the_student

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


def test_a_plugin_that_teaches_nothing_is_found_out():
    def idle(config, *, student_logits):
        return (student_logits * 0).sum(-1)

    with pytest.raises(AssertionError, match="is zero"):
        teaches_the_student(Plugin("objective", "idle", idle, Config))


def test_an_option_without_a_text_is_found_out():
    class Silent(Config):
        width: int = 3

    def silent(config):
        return torch.nn.Identity()

    with pytest.raises(AssertionError, match="width has no text"):
        EVERY_PLUGIN[1](Plugin("model", "silent", silent, Silent))
