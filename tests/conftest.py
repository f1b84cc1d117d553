"""Shapes are checked on every call of a test run; chance is fixed."""

import jaxtyping

jaxtyping.install_import_hook("edgekd", "beartype.beartype")

from hypothesis import settings  # noqa: E402

settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("fixed")
