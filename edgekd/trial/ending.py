"""Being told to end while measuring: what was started and written goes too."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def ends_cleanly() -> Iterator[None]:
    """Leave the block by SystemExit on SIGTERM, so that processes and folders of it are removed.

    Where somebody handles the signal already, or outside the main thread, nothing changes.
    """
    alone = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
