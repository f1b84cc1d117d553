import os
import signal
import tempfile
from pathlib import Path

import pytest

from edgekd.trial.ending import ends_cleanly


def test_what_a_block_holds_is_removed_when_it_is_told_to_end() -> None:
    with pytest.raises(SystemExit) as end, ends_cleanly(), tempfile.TemporaryDirectory() as folder:
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 128 + signal.SIGTERM
    assert not Path(folder).exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_somebody_else_stays() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ends_cleanly():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
