import signal

from edgekd.core.endings import ended


def test_how_a_process_ended_is_said_whatever_ended_it() -> None:
    assert ended(3) == "ended with exit status 3"
    assert ended(200) == "ended with exit status 200"
    assert ended(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert ended(-(signal.SIGRTMIN + 3)) == f"was killed by signal {signal.SIGRTMIN + 3}"
