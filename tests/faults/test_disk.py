"""A disk that fills up at any byte: a clear error, nothing kept is harmed, and on it goes."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekd.pipeline.store import Store

from .runs import artifacts, run, write

PAGE = 4096
SPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
ON_A_SMALL_DISK = """\
set -u
mount -t tmpfs -o size="$2" tmpfs "$1/disk" || exit 99
mkdir "$1/disk/tmp"
[ "$3" = inside ] && export TMPDIR="$1/disk/tmp"
(
  sleep "$4"
  cat /dev/zero >"$1/disk/filler" 2>"$1/filler.err"
  truncate -s -"$5" "$1/disk/filler"
) &
{python} -m edgekd run "$1/small.yaml" --store "$1/disk/store" --runs "$1/disk/runs" \\
  >"$1/first.out" 2>"$1/first.err"
echo $? >"$1/first"
wait
rm "$1/disk/filler"
cp -a "$1/disk" "$1/found"
mount -o remount,size=1G "$1/disk"
{python} -m edgekd run "$1/small.yaml" --store "$1/disk/store" --runs "$1/disk/runs" \\
  >"$1/second.out" 2>"$1/second.err"
echo $? >"$1/second"
cp -a "$1/disk/." "$1/after"
"""


def can_mount():
    if shutil.which("unshare") is None:
        return False
    tried = [*SPACE, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(
    not can_mount(), reason="a small disk is a tmpfs, which may not be mounted here"
)
def test_a_disk_that_fills_up_loses_nothing(tmp_path, rounds, counted):
    whole = tmp_path / "whole"
    began = time.monotonic()
    status, _, errors = run(write(whole / "small.yaml"), whole)
    assert status == 0, errors
    seconds = time.monotonic() - began
    size = sum(p.stat().st_size for p in whole.rglob("*") if p.is_file())
    chance, full, times = random.Random(5), 0, rounds(2, 50)
    script = ON_A_SMALL_DISK.replace("{python}", sys.executable)
    for number in range(times):
        folder = tmp_path / str(number)
        (folder / "disk").mkdir(parents=True)
        write(folder / "small.yaml")
        room = chance.choice([64 << 20, chance.randrange(64 * 1024, size)]) // PAGE * PAGE
        where, after = chance.choice(["inside", "outside"]), chance.uniform(1, seconds)
        free = chance.randrange(0, 256 * 1024)
        given = [str(folder), str(room), where, f"{after:.2f}", str(free)]
        command = [*SPACE, "sh", "-c", script, "sh", *given]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        said = (folder / "first.err").read_text()
        status = int((folder / "first").read_text())
        place = f"{room} bytes, {free} left at {after:.2f} s, temporary {where}: {status}, {said}"
        if status != 0:
            full += 1
            assert status == 3 or (status == 1 and where == "inside"), place
            assert "No space left" in said or "estimated to need" in said, place
            assert "Traceback" not in said, place
        assert_whole(folder / "found" / "store")
        second = (folder / "second.err").read_text()
        assert int((folder / "second").read_text()) == 0, f"{place}; then {second}"
        assert artifacts(folder / "after") == artifacts(whole), place
        shutil.rmtree(folder)
    counted("disk filled up", tried=times, full=full, whole_run_bytes=size)


def assert_whole(root: Path):
    store = Store(root)
    for folder in (root / "results").glob("*"):
        assert store.look(folder.name).harm == "", folder
