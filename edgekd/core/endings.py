"""How a process ended, in words."""

import signal


def ended(status: int) -> str:
    """Return how a process ended that had this exit status, which is below 0 by a signal."""
    if status < 0:
        return f"was killed by {signal_name(-status)}"
    return f"ended with exit status {status}"


def signal_name(number: int) -> str:
    """Return what a signal is called; most real-time ones only have a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
