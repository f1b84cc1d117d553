"""Devices without Python: a shell, what transports take of it, and a runner that is a script."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.devices.adb_servers import ADBD, Real, fake_adb, real_adb

WAYS = [pytest.param(fake_adb, id="adb")]
if ADBD:
    WAYS.append(pytest.param(real_adb, id="adbd"))
TOOLS = """
cat chmod env find flock mkdir mktemp mv readlink rm
sed setsid sh sha256sum sleep tail true uname wc
"""
Way = Callable[[Path], AbstractContextManager[Any]]


def link_tools(folder: Path) -> None:
    """Make a folder of what a device must have, for its PATH."""
    folder.mkdir(parents=True)
    for name in TOOLS.split():
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)


@contextmanager
def bare(way: Way, place: Path) -> Iterator[Any]:
    """Give a device of a server whose commands find no Python."""
    tools = place / "tools"
    link_tools(tools)
    if way is real_adb:
        (tools / "adb").symlink_to(Real.client / "adb")
    with (
        patch.dict(os.environ, {"PATH": str(tools)}),
        patch.object(Real, "client", tools),
        way(place / "way") as device,
    ):
        yield device


LOADER = """\
#!/bin/sh
# Loads the runner as glibc's would; its options are none of a script's.
shift 3
exec sh "$@"
"""
RUNNER = """\
#!/bin/sh
# Answers as the C++ runner does; the file of its program says how it goes wrong.
how=$(cat "$1" 2>/dev/null)
for word; do
  [ "$before" != --scores ] || scores=$word
  before=$word
done
while read -r asked; do
  case $asked in
    *'"version"'*) echo '{"version": "1 (script)"}' ;;
    *'"load"'*)
      [ "$how" != broken ] || { echo 'it is broken' >&2; exit 1; }
      echo '{"load_ms": 1.5, "version": "1 (script)"}' ;;
    *'"first"'*) echo '{"first_ms": 2.5}' ;;
    *'"warm"'*)
      [ "$how" != killed ] || kill -SEGV $$
      [ "$how" != silent ] || sleep 60
      echo '{"warmup_runs": 10, "settled": true}' ;;
    *'"block"'*)
      [ "$how" != slow ] || { : >>begun; until [ -f enough ]; do sleep 0.05; done; }
      echo '{"ns": [1000, 3000, 2000], "wall_s": 0.5, "cpu_s": 0.25}' ;;
    *'"score"'*)
      { ulimit -t; ulimit -f; ulimit -d; } >"$scores/limits"
      echo "$@" >"$scores/words"
      echo '{"examples": 3, "batch": 1}' ;;
    *'"trace"'*) echo '{"undelegated_time": 0.25}' ;;
    *'"profile"'*) echo '{"profile": null}' ;;
    *'"end"'*) echo '{"peak_rss_mib": 7, "load_average": 0.5, "modules": ["script"]}' ;;
  esac
done
"""
