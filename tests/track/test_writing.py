"""A tracker in a thread of its own: order, the first failure, and no waiting."""

import threading

import pytest

from edgekd.track import writing
from edgekd.track.writing import Writing


def test_calls_are_made_in_their_order_on_what_was_made():
    made = []
    one = Writing("list", lambda: made)
    for number in range(100):
        one.tell(lambda t, number=number: t.append(number))
    one.finish(10)
    assert made == list(range(100))
    assert one.failure() is None


def test_the_first_failure_is_told_once_and_is_the_last_call():
    made = []

    def fail(_):
        raise OSError(28, "No space left on device", "/tb/x")

    one = Writing("list", lambda: made)
    one.tell(lambda t: t.append(1))
    one.tell(fail)
    one.tell(lambda t: t.append(2))
    one.finish(10)
    assert made == [1]
    assert one.failure() == "OSError: [Errno 28] No space left on device: '/tb/x'"
    assert one.failure() is None


def test_a_tracker_that_cannot_be_made_has_failed():
    one = Writing("list", lambda: 1 / 0)
    one.finish(10)
    assert one.failure() == "ZeroDivisionError: division by zero"


def test_a_reason_holds_no_credentials():
    def fail(_):
        raise ValueError("no answer from http://me:secret@server/api\nand so on")

    one = Writing("list", list)
    one.tell(fail)
    one.finish(10)
    assert one.failure() == "ValueError: no answer from http://server/api"


@pytest.fixture
def stuck():
    """Yield a call that does not return until the test is over."""
    over = threading.Event()
    yield lambda _: over.wait(60)
    over.set()


def test_who_is_slow_is_not_waited_for(stuck):
    one = Writing("list", list)
    one.tell(stuck)
    one.finish(0.1)
    assert one.failure() == "it did not take everything within 0.1 s"


def test_who_was_given_up_and_fails_later_is_told_once():
    over = threading.Event()

    def late(_):
        over.wait(60)
        raise OSError("late")

    one = Writing("list", list)
    one.tell(late)
    one.finish(0.1)
    over.set()
    one._thread.join(60)
    assert one.failure() == "it did not take everything within 0.1 s"
    assert one.failure() is None


def test_what_waits_is_bounded(stuck, monkeypatch):
    monkeypatch.setattr(writing, "MOST_WAITING", 5)
    one = Writing("list", list)
    for _ in range(10):
        one.tell(stuck)
    assert one.failure() == "it does not answer: 5 messages wait"
    one.finish(60)  # and returns at once, since nothing more is written
