"""Keeping the chatter of third-party code out of ours, for as long as one call lasts."""

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

CHATTY_LOGGERS = (
    "torch.onnx",
    "torch.utils._pytree",
    "torchao",
    "executorch",
    "onnxruntime",
    "onnxscript",
    "onnx_ir",
    "root",
)


@contextmanager
def quiet(*, native: bool = False) -> Iterator[None]:
    """Silence deprecations and log lines of the exporters called inside.

    Nothing that they say there can be mended by a user of ours. With `native`, what C++ code
    writes to standard error is kept back too, unless the call fails.
    """
    loggers = [_logger(name) for name in CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _native_silence() if native else _nothing():
            for category in (DeprecationWarning, FutureWarning, UserWarning, ResourceWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == "root" else name)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _native_silence() -> Iterator[None]:
    """Turn away file descriptor 2, and Python's own stream, which pybind uses, for a while.

    Where the call fails, what was turned away is written after all: it may say why.
    """
    sys.stderr.flush()
    text = io.StringIO()
    with tempfile.TemporaryFile() as elsewhere:
        kept = os.dup(2)
        try:
            os.dup2(elsewhere.fileno(), 2)
            with redirect_stderr(text):
                yield
        except BaseException:
            elsewhere.seek(0)
            os.write(kept, elsewhere.read() + text.getvalue().encode())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
