"""Files that may hold anything: each is read or refused, and nothing that it says is run.

What is found is kept, with the number that makes it again, in $EDGEKD_FINDINGS where that is set.
One module by hand: cd tests/faults; python -m fuzz MODULE SEED COUNT FOLDER [JOBS]
"""

import os
import time
from pathlib import Path

import pytest

from .fuzz.herd import survey

SEED = 20_261


@pytest.fixture
def tried(rounds, full, counted):
    """Return a function that tries mutants and fails with what was found."""

    def attempt(what, module, short, long):
        began = time.monotonic()
        count = rounds(short, long)
        found = survey(f"fuzz.{module}", SEED, count, jobs=(os.cpu_count() or 1) if full else 1)
        seconds = time.monotonic() - began
        counted(what, tried=count, seed=SEED, seconds=f"{seconds:.0f}", found=len(found.found))
        for kind, times in found.table().items():
            counted(f"  {kind}", times=times)
        if folder := os.environ.get("EDGEKD_FINDINGS"):
            found.save(Path(folder) / module)
        assert not found.found, "\n".join(f"{f['number']}: {f['why']}" for f in found.found[:20])
        assert sum(found.counts.values()) == count

    return attempt


def test_a_mutated_pipeline_or_target_file_is_read_or_refused(tried):
    tried("pipeline and target files", "reading", 150, 100_000)
