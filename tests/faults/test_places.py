"""Stores in odd places, and a machine without a network."""

import subprocess
import sys

import pytest

from .runs import SMALL, write
from .test_disk import SPACE, can_mount

pytestmark = pytest.mark.skipif(
    not can_mount(), reason="a namespace of one's own is not to be had here"
)
RUN = '{python} -m edgekd run "$1/small.yaml" --store "$1/disk/store" --runs "$1/runs" {options}'


def in_a_namespace(folder, script, *, spaces=SPACE):
    folder.mkdir(exist_ok=True)
    (folder / "disk").mkdir()
    write(folder / "small.yaml", SMALL)
    options = "--until teacher"
    script = script.replace("{run}", RUN).replace("{python}", sys.executable)
    command = [*spaces, "sh", "-c", script.replace("{options}", options), "sh", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_store_on_a_disk_that_is_read_only_is_refused_with_the_option_that_names_it(tmp_path):
    done = in_a_namespace(tmp_path, 'mount -t tmpfs -o ro tmpfs "$1/disk"; {run}')
    assert done.returncode == 2
    assert done.stderr.startswith("--store")
    assert "Read-only file system" in done.stderr
    assert "Give a folder on another disk with --store." in done.stderr


def test_a_disk_that_becomes_read_only_is_named(tmp_path):
    script = 'mount -t tmpfs tmpfs "$1/disk"; {run} && mount -o remount,ro "$1/disk"; {run}'
    done = in_a_namespace(tmp_path, script)
    assert done.returncode == 2
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_needs_no_network(tmp_path):
    done = in_a_namespace(tmp_path / "größer, with spaces", "{run}", spaces=[*SPACE, "--net"])
    assert done.returncode == 0, done.stderr
