"""Beside the weights of a transformers folder: its configuration, classes and view of pictures."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from edgekd.core.errors import Problem
from edgekd.core.protocols.task import Task
from edgekd.models.weights import shapes_in

PREPROCESSING = "preprocessor_config.json"
TOKENIZER = "tokenizer.json"
POOLING, MEAN = "1_Pooling/config.json", "pooling_mode_mean_tokens"
"""Where sentence-transformers says how a text's tokens become one vector."""
GENERIC = re.compile(r"LABEL_\d+")
"""The name that transformers gives to a class that nobody named."""
OF_THE_FILE = ("architectures", "transformers_version", "id2label", "label2id", "dtype")
"""Entries that say nothing about the network's shape."""


def configuration(config: Any) -> Mapping[str, Any]:
    """Return all of a transformers configuration that shapes its network, as JSON values."""
    known = {*type(config)().to_dict(), "model_type"}
    values: Mapping[str, Any] = json.loads(json.dumps(config.to_dict()))
    return {
        name: value
        for name, value in values.items()
        if name in known and name not in OF_THE_FILE and not name.startswith("_")
    }


def check_folder(folder: Path, config: Any, task: Task, taught: bool) -> Iterator[Problem]:
    """Yield where the folder's model means other classes or sees pictures otherwise.

    A model that is taught may bring other classes, or as many new ones as the task has.
    """
    named = [config.id2label[index] for index in sorted(config.id2label)]
    classes = int(task.signature().outputs[0].shape[-1])
    if len(named) != classes:
        if not taught:
            yield Problem(
                "folder",
                f"the model has {len(named)} classes and the task {classes}, so its head would be "
                "by chance, and nothing trains it here.",
                "Add train: to this stage, or give a model of these classes.",
            )
    elif not all(GENERIC.fullmatch(name) for name in named):
        yield from _check_names(named, [str(name) for name in task.facts()["labels"]], taught)
    if (folder / PREPROCESSING).is_file():
        yield from _check_pictures(folder / PREPROCESSING, task)
    if (folder / TOKENIZER).is_file():
        yield from check_tokens(folder / TOKENIZER, task)


def check_pooling(folder: Path) -> Iterator[Problem]:
    """Yield that sentence-transformers would not take the mean over the tokens."""
    file = folder / POOLING
    if not file.is_file():
        return
    try:
        modes = json.loads(file.read_text("utf-8"))
        chosen = [name for name, on in modes.items() if name.startswith("pooling_mode") and on]
    except (OSError, ValueError, AttributeError) as error:
        yield Problem("folder", f"{file} cannot be read: {error}.", "Mend or remove the file.")
        return
    if chosen != [MEAN]:
        yield Problem(
            "folder",
            f"{file} asks for {', '.join(chosen) or 'nothing'}, and edgekd takes {MEAN} alone.",
            "Give an encoder that was trained with the mean over its tokens.",
        )


def check_weights(folder: Path) -> Iterator[Problem]:
    """Yield the weight files that cannot be read; no tensor is."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            shapes_in(file)
        except (SafetensorError, OSError) as error:
            step = "Save the model once more with save_pretrained."
            yield Problem("folder", f"{file} cannot be read: {error}.", step)


def _check_names(named: Sequence[str], wanted: Sequence[str], taught: bool) -> Iterator[Problem]:
    ours, theirs = ([name.casefold() for name in names] for names in (wanted, named))
    if ours == theirs or (taught and sorted(ours) != sorted(theirs)):
        return
    both = f"the model has {', '.join(named)}; the task has {', '.join(wanted)}."
    if sorted(ours) == sorted(theirs):
        yield Problem(
            "folder",
            f"the classes are in another order: {both}",
            "Put the rows of the model's head and its id2label in the task's order.",
        )
    else:
        yield Problem(
            "folder",
            f"the classes have other names: {both}",
            "Add train: to teach it these, give a model of these classes, or, where only the "
            "words differ, name them alike in id2label of config.json.",
        )


def _check_pictures(file: Path, task: Task) -> Iterator[Problem]:
    """Yield that the model wants another normalisation, where the user chose none."""
    options = getattr(task, "options", None)
    if getattr(options, "mean", None) is not None and getattr(options, "std", None) is not None:
        return
    own = task.facts().get("preprocessing", {})
    try:
        wanted = _normalisation(json.loads(file.read_text("utf-8")), len(own.get("mean", ())))
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        yield Problem("folder", f"{file} cannot be read: {error}.", "Mend or remove the file.")
        return
    if wanted and not all(_close(wanted[name], own[name]) for name in wanted):
        sets = " ".join(f"--set 'task.{name}={_written(wanted[name])}'" for name in wanted)
        found = ", ".join(f"{name} {_written(own[name])}" for name in wanted)
        yield Problem(
            "folder",
            f"{file.name} says that the model sees pictures otherwise than the task gives them: "
            f"the task has {found}.",
            f"Write mean: {_written(wanted['mean'])} and std: {_written(wanted['std'])} under "
            f"task:, or add {sets}",
        )


def check_tokens(file: Path, task: Task) -> Iterator[Problem]:
    """Yield that the model learnt other tokens than the task gives it."""
    options = getattr(getattr(task, "options", None), "tokenizer", None)
    if options is None:
        return
    step = f"Write tokenizer: {{file: {file.parent}}} under task:."
    if options.path is None:
        yield Problem("folder", f"the model learnt the tokens of its own {file.name}.", step)
    elif _vocabulary(options.path) != _vocabulary(file):
        message = (
            f"the model learnt the tokens of its own {file.name}, not those of {options.path}."
        )
        yield Problem("folder", message, step)


def _vocabulary(file: Path) -> Any:
    """Return which token has which number in a tokenizer's file; nothing where it is none."""
    try:
        model = json.loads(file.read_text("utf-8"))["model"]
        return model["vocab"]
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _normalisation(given: Mapping[str, Any], channels: int) -> dict[str, list[float]]:
    """Return mean and std of the folder on a scale from 0 to 1; nothing where it is for others."""
    scale = 255 * given.get("rescale_factor", 1 / 255) if given.get("do_rescale", True) else 255.0
    normed = given.get("do_normalize", "image_mean" in given)
    values = {
        "mean": given.get("image_mean", 0.0) if normed else 0.0,
        "std": given.get("image_std", 1.0) if normed else 1.0,
    }
    spread = {
        name: [float(v) / scale for v in (value if isinstance(value, list) else [value] * channels)]
        for name, value in values.items()
    }
    return spread if all(len(value) == channels for value in spread.values()) else {}


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(one, other, strict=True))


def _written(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in values)}]"
