"""Promises that every plug-in keeps, ours or another package's. Each raises AssertionError."""

from typing import cast

import torch
from pydantic import ValidationError
from torch import nn

from edgekd.core.protocols.task import Task
from edgekd.core.protocols.training import Fits
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseObjective, as_read, as_written
from edgekd.core.registry import Plugin
from edgekd.testing.signals import fitting_signals, ready, signals_for


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


def leaves_the_names_of_terms_alone(plugin: Plugin) -> None:
    """No option is called as what every term of a loss has: `weight`, `tap`, `teacher`."""
    taken = plugin.config.model_fields.keys() & UseObjective.model_fields.keys()
    assert not taken, f"{plugin.name} has an option {', '.join(taken)}, which every term has"


def teaches_the_student(plugin: Plugin) -> None:
    """Every signal of the student that it asks for gets a finite gradient that is not zero.

    Those that it says it only weighs by get none.
    """
    signals, weighs = signals_for(plugin), plugin.traits.get("only_weighs", ())
    ready(plugin)(**signals).sum().backward()
    for name in weighs:
        assert signals[name].grad is None, f"{plugin.name} gives {name} a gradient"
    for name, tensor in signals.items():
        if name.startswith("student_") and name not in weighs:
            assert tensor.grad is not None, f"{plugin.name} gives {name} no gradient"
            assert tensor.grad.isfinite().all(), f"{plugin.name}: gradient of {name} not finite"
            assert tensor.grad.any(), f"{plugin.name}: gradient of {name} is zero"


def follows_a_permuted_batch(plugin: Plugin) -> None:
    """Examples in another order give the same values in that order."""
    signals = signals_for(plugin)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    values = ready(plugin)(**signals)
    batched = {name: tensor[order] for name, tensor in signals.items() if tensor.ndim}
    moved = ready(plugin)(**signals | batched)
    if values.ndim:  # one value per example, and not one for the batch
        torch.testing.assert_close(moved, values[order])


def stays_finite_in_bfloat16(plugin: Plugin) -> None:
    """Half precision gives finite values near those of single precision."""
    full = ready(plugin)(**signals_for(plugin))
    half = ready(plugin)(**signals_for(plugin, dtype=torch.bfloat16)).float()
    assert half.isfinite().all(), f"{plugin.name} is not finite in bfloat16"
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.3)


def finds_the_same_in_any_order(plugin: Plugin) -> None:
    """Where it is fitted, the same examples in other batches and in another order are the same."""
    if not plugin.fits:
        return
    first, other = ready(plugin), ready(plugin)
    assert isinstance(first, nn.Module), f"{plugin.name} is fitted and no nn.Module"
    assert isinstance(other, nn.Module)
    batches = [*fitting_signals(plugin)]
    every = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    order = torch.randperm(len(next(iter(every.values()))))
    parts = {name: torch.tensor_split(column[order], 4) for name, column in every.items()}
    cast(Fits, other).fit({n: columns[i] for n, columns in parts.items()} for i in range(4))
    found = dict(other.named_buffers())
    for name, buffer in first.named_buffers():
        torch.testing.assert_close(found[name], buffer, rtol=1e-4, atol=1e-5, equal_nan=True)


def divides_its_batches(task: Task) -> None:
    """The parts of a batch, laid side by side, are that batch to the bit, and draw as it does."""
    batch_size = (task.size("train") - 1) // 2  # leaves a last batch of one or two
    for of in (2, 3):
        passes = [_passed(task, batch_size, (which, of)) for which in range(of)]
        for whole, *parts in zip(*[_passed(task, batch_size, (0, 1)), *passes], strict=True):
            for name, column in whole.items():
                small = len(column) < of
                found = [parts[0][name]] if small else [part[name] for part in parts]
                assert torch.equal(torch.cat(found), column), f"parts of {name} are another batch"
                if small:
                    assert all(torch.equal(p[name], column) for p in parts), f"{name} is divided"
                else:
                    sizes = [len(part[name]) for part in parts]
                    fair = [len(piece) for piece in torch.tensor_split(column, of)]
                    assert sizes == fair, f"parts of {name} have {sizes} examples, not {fair}"


def begins_where_it_is_told(task: Task) -> None:
    """A pass that begins with a later batch is the rest of the whole one, and draws as it does."""
    batch_size = (task.size("train") - 1) // 2
    whole = _passed(task, batch_size, (0, 1))
    for start in range(len(whole)):
        rest = _passed(task, batch_size, (0, 1), start)
        assert len(rest) == len(whole) - start, f"a pass from {start} has {len(rest) - 1} batches"
        for given, expected in zip(rest, whole[start:], strict=True):
            for name, column in expected.items():
                assert torch.equal(given[name], column), f"a pass from {start} has other {name}"


def _passed(task: Task, batch_size: int, part: tuple[int, int], start: int = 0) -> list[Batch]:
    """Return a shuffled pass, and as one batch more what is drawn after it."""
    rng = torch.Generator().manual_seed(0)
    cpu = torch.device("cpu")
    batches = task.batches("train", batch_size, device=cpu, rng=rng, part=part, start=start)
    return [*batches, {"chance": torch.randint(2**40, (1,), generator=rng)}]


EVERY_PLUGIN = (says_what_it_is, explains_every_option, options_survive_a_file)
EVERY_OBJECTIVE = (
    leaves_the_names_of_terms_alone,
    teaches_the_student,
    follows_a_permuted_batch,
    stays_finite_in_bfloat16,
    finds_the_same_in_any_order,
)
EVERY_TASK = (divides_its_batches, begins_where_it_is_told)
"""Promises of a task that is built, with three training examples or more."""
