"""Keeping the chatter of third-party code out of ours, for as long as one call lasts."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
    writes to standard error is dropped too; a Python error still comes through as an exception.
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
    """Point file descriptor 2 at nothing for a while."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
