import logging
import os
import warnings

import pytest

from edgekd.core.quiet import quiet


def test_inside_nothing_is_heard_and_outside_everything_again(capfd, caplog):
    with quiet(native=True):
        warnings.warn("gone", FutureWarning, stacklevel=1)
        logging.getLogger("torchao.deep").error("gone")
        os.write(2, b"gone")
    os.write(2, b"heard")
    logging.getLogger("torchao.deep").error("heard")
    with pytest.warns(FutureWarning, match="heard"):
        warnings.warn("heard", FutureWarning, stacklevel=1)
    assert capfd.readouterr().err == "heard"
    assert caplog.messages == ["heard"]


def test_an_exception_comes_through_with_what_was_said_before_it(capfd):
    level = logging.getLogger("torchao").level

    def fails():
        with quiet(native=True):
            os.write(2, b"why ")
            raise RuntimeError("real")

    with pytest.raises(RuntimeError, match="real"):
        fails()
    os.write(2, b"heard")
    assert capfd.readouterr().err == "why heard"
    assert logging.getLogger("torchao").level == level
