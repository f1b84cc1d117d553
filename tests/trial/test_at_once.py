"""Work on several targets: at the same time, and none ends the others by failing."""

import threading

import pytest

from edgekd.core.errors import RequestError, StageError, UnreachableError
from edgekd.trial.at_once import as_one, at_once


def silent(_done: int, _of: int, _what: str) -> None:
    pass


def test_targets_are_worked_on_at_the_same_time_and_found_in_their_order():
    both = threading.Barrier(2, timeout=30)

    def work(progress):
        progress(0, 1, "half")
        return both.wait() >= 0

    assert list(at_once({"b": work, "a": work}, silent).items()) == [("b", True), ("a", True)]


def test_one_target_is_worked_on_without_another_thread():
    here = at_once({"a": lambda _: threading.current_thread()}, silent)
    assert here == {"a": threading.main_thread()}


@pytest.mark.parametrize("error", [StageError("it broke"), UnreachableError("it is gone")])
def test_a_target_that_fails_leaves_what_the_others_came_to(error):
    def fail(_):
        raise error

    assert at_once({"a": fail, "b": lambda _: 7}, silent) == {"a": error, "b": 7}
    assert at_once({"a": fail}, silent) == {"a": error}


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), RequestError(())])
def test_our_own_mistakes_and_wrong_requests_are_raised(error):
    def fail(_):
        raise error

    def goes_on(progress):
        while True:
            progress(0, 1, "next")

    with pytest.raises(type(error)):
        at_once({"a": goes_on, "b": fail}, silent)


def test_work_that_nobody_waits_for_any_more_ends_where_it_says_how_far_it_is(monkeypatch):
    go, ended = threading.Event(), threading.Event()

    def interrupted(_thread, timeout=None):
        raise KeyboardInterrupt

    def work(progress):
        assert go.wait(30)
        try:
            progress(0, 1, "next")
        finally:
            ended.set()

    said: list[int] = []
    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        at_once({"a": work, "b": work}, lambda done, *_: said.append(done))
    go.set()
    assert ended.wait(30)
    assert said == []


def test_several_errors_are_told_together_and_the_gravest_decides_the_exit_code():
    gone, broken = UnreachableError("gone"), StageError("broken")
    assert as_one({"a": broken}) is broken
    both = as_one({"a": broken, "b": gone})
    assert (str(both), both.exit_code) == ("a: broken\nb: gone", 3)
    assert as_one({"a": broken, "b": broken}).exit_code == 1
