"""Files that may hold anything: each is read or refused, and nothing that it says is run.

What is found is kept, with the number that makes it again, in $EDGEKD_FINDINGS where that is set.
One module by hand: cd tests/faults; python -m fuzz MODULE SEED COUNT FOLDER [JOBS]
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .fuzz.herd import KINDS_OF_FILES, environment, survey

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


@pytest.fixture(scope="module")
def programs(tmp_path_factory, pytestconfig):
    """Have the folder of good programs written, and tell the processes that try mutants of it."""
    names = () if pytestconfig.getoption("full", False) else ("int8.onnx", "int8.pte")
    folder = tmp_path_factory.mktemp("programs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_PROGRAMS", str(folder))
        command = [sys.executable, "-P", "-m", "fuzz.programs", *names]
        subprocess.run(command, check=True, env=environment(), capture_output=True)
        yield folder


def test_a_mutated_pipeline_or_target_file_is_read_or_refused(tried):
    tried("pipeline and target files", "reading", 60, 100_000)


def test_a_mutated_file_of_the_store_or_of_the_user_is_read_or_refused(tried):
    tried("other files", "kept_files", 5 * KINDS_OF_FILES, 2_100 * KINDS_OF_FILES)


def test_a_mutated_program_ends_no_process_but_the_one_that_opens_it(tried, programs):
    tried("programs, opened by the runners", "opening", 30, 4_200)


def test_a_mutated_program_is_a_described_failure_to_edgekd(tried, programs):
    tried("programs, through all of edgekd", "measuring", 1, 120)
