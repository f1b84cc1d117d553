"""Shapes are checked on every call of a test run, wherever tensors are; chance is fixed."""

import jaxtyping

TENSORS = (
    "ops",
    "objectives",
    "data",
    "tasks",
    "models",
    "transforms",
    "measures",
    "runtimes",
    "train",
    "stages",
)
jaxtyping.install_import_hook([f"edgekd.{room}" for room in TENSORS], "beartype.beartype")

from hypothesis import settings  # noqa: E402

settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("fixed")
