"""Promises that every plug-in keeps, ours or another package's. Each raises AssertionError."""

import torch
from pydantic import ValidationError

from edgekd.core.refs import as_read, as_written
from edgekd.core.registry import Plugin
from edgekd.testing.signals import example_signals


def says_what_it_is(plugin: Plugin) -> None:
    """Its module begins with one line that says what it is."""
    assert plugin.summary, f"{plugin.name} has no text"
    assert plugin.summary.endswith((".", ":")), f"{plugin.name}: '{plugin.summary}' is cut off"


def explains_every_option(plugin: Plugin) -> None:
    """Each option has a text under it, which is its help."""
    for name, field in plugin.config.model_fields.items():
        assert field.description, f"{plugin.name}.{name} has no text under it"


def options_survive_a_file(plugin: Plugin) -> None:
    """Default options, where it has them, come back the same from the form of a file."""
    try:
        options = plugin.config()
    except ValidationError:  # the user must choose: there is no default
        return
    assert plugin.config.model_validate(as_read(as_written(options))) == options, plugin.name


def teaches_the_student(plugin: Plugin) -> None:
    """Every signal of the student that it asks for gets a finite gradient that is not zero."""
    signals = example_signals(plugin.needs)
    plugin.build(plugin.config())(**signals).sum().backward()
    for name, tensor in signals.items():
        if name.startswith("student_"):
            assert tensor.grad is not None, f"{plugin.name} gives {name} no gradient"
            assert tensor.grad.isfinite().all(), f"{plugin.name}: gradient of {name} not finite"
            assert tensor.grad.any(), f"{plugin.name}: gradient of {name} is zero"


def follows_a_permuted_batch(plugin: Plugin) -> None:
    """Examples in another order give the same values in that order."""
    signals = example_signals(plugin.needs)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    build = plugin.build(plugin.config())
    values, moved = build(**signals), build(**{n: t[order] for n, t in signals.items()})
    if values.ndim:  # one value per example, and not one for the batch
        torch.testing.assert_close(moved, values[order])


def stays_finite_in_bfloat16(plugin: Plugin) -> None:
    """Half precision gives finite values near those of single precision."""
    build = plugin.build(plugin.config())
    full = build(**example_signals(plugin.needs))
    half = build(**example_signals(plugin.needs, dtype=torch.bfloat16)).float()
    assert half.isfinite().all(), f"{plugin.name} is not finite in bfloat16"
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.3)


EVERY_PLUGIN = (says_what_it_is, explains_every_option, options_survive_a_file)
EVERY_OBJECTIVE = (teaches_the_student, follows_a_permuted_batch, stays_finite_in_bfloat16)
