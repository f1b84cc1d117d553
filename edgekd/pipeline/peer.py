"""Another process of a run: it works on the stages that the first one asks all to work on.

What it makes is thrown away, save what a stage lays into its `unfinished` folder: the first
process writes the result. It ends when the first one does.
"""

import signal
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgekd.core.errors import EdgekdError, StageError
from edgekd.core.lifetime import cpu_seconds, end_with_parent
from edgekd.core.trouble import named_trouble
from edgekd.parallel.crew import Peer, Word
from edgekd.pipeline.stage_run import Workroom, do_stage, stage_run
from edgekd.train.device import use_threads


class _NoWish:
    """A run ends where the first process says so, in step with it."""

    asked = False


def main() -> None:
    """Work on one stage after another until there are no more."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    peer, room, ended = Peer(), Workroom(), list[int]()
    while not ended and (request := peer.next()) is not None:
        # the first process may write down the state of the stage: a launcher's wish must wait
        before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
        peer.end(_work(peer, request, room))
        signal.signal(signal.SIGTERM, before)


def _work(peer: Peer, request: Mapping[str, Any], room: Workroom) -> Word:
    """Do this process's part of a stage and return how it went."""
    began, error, step = cpu_seconds(), "", ""
    try:
        with named_trouble(), TemporaryDirectory(prefix="edgekd-") as out, peer.at_work(request):
            use_threads(request["threads"])
            room.load(request)
            do_stage(request, stage_run(request, Path(out), _NoWish(), lambda _: None, room))
    except StageError as failure:
        error, step = failure.message, failure.next_step
    except EdgekdError as failure:
        error = str(failure) or type(failure).__name__
    except Exception as failure:
        with suppress(OSError):  # the disk of the log may be full
            traceback.print_exc()
        error = f"{type(failure).__name__}: {failure}"
    return Word(cpu_seconds() - began, error, step)


if __name__ == "__main__":
    main()
