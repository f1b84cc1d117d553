"""Whether a stage fits."""

from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from edgekd.core.errors import UnreachableError
from edgekd.core.limits import MemoryLimit
from edgekd.core.needs import Needs
from edgekd.pipeline import room as module
from edgekd.pipeline.room import Room, check_room, judge, readable, room_here

MIB, GIB = 2**20, 2**30
STORE = Path("/data/store")


def room(memory=8 * GIB, swap=0, disk=100 * GIB, device=None):
    return Room(memory, swap, "here", disk, device)


def test_what_fits_is_nothing_to_speak_of():
    assert judge(Needs(GIB, GIB), room(), STORE) == ""
    assert judge(Needs(GIB, GIB, device_bytes=GIB), room(device=2 * GIB), STORE) == ""


def test_memory_far_beyond_all_there_is_is_refused_with_what_to_lower():
    needs = Needs(13 * GIB, GIB, lower=("train.batch_size", "the width of the model"))
    with pytest.raises(UnreachableError) as error:
        judge(needs, room(), STORE)
    assert error.value.exit_code == 3
    assert "estimated to need about 13.0 GiB of memory; 8.0 GiB can be had here" in str(error.value)
    assert "Lower train.batch_size or the width of the model, end other" in str(error.value)


@pytest.mark.parametrize(("needed", "swap"), [(11, 0), (13, 1)])
def test_what_an_estimate_may_be_wrong_about_is_let_go_on_with_a_notice(needed, swap):
    said = judge(Needs(needed * GIB, GIB), room(swap=swap * GIB), STORE)
    wanted = f"about {needed}.0 GiB of memory; 8.0 GiB can be had here, less."
    assert said == f"it is estimated to need {wanted}"


@pytest.mark.parametrize(("needed", "told"), [(6 * GIB, False), (7 * GIB, True)])
def test_nearly_all_is_a_notice(needed, told):
    assert judge(Needs(needed, GIB), room(), STORE).endswith("hardly more.") is told


def test_a_disk_that_is_too_small_is_refused_with_its_folder():
    with pytest.raises(UnreachableError) as error:
        judge(Needs(GIB, 400 * MIB), room(disk=200 * MIB), STORE)
    text = str(error.value)
    assert "about 400.0 MiB of disk; 200.0 MiB can be had free for /data/store" in text
    assert "Free some space, or give --store on another disk." in text


def test_what_lies_on_a_gpu_each_is_not_asked_of_this_machines_memory():
    each = {"device_bytes": 10 * GIB, "lower": ()}
    fits = Needs(22 * GIB, GIB, **each, processes=2)
    assert judge(fits, room(device=20 * GIB), STORE) == ""
    with pytest.raises(UnreachableError, match=r"about 12\.0 GiB"):
        judge(Needs(22 * GIB, GIB, **each), room(memory=7 * GIB, device=20 * GIB), STORE)


def test_both_are_told_together():
    with pytest.raises(UnreachableError, match=r"(?s)of disk.*of memory"):
        judge(Needs(13 * GIB, GIB), room(disk=0), STORE)


def test_a_gpu_holds_its_part_and_the_machine_the_rest():
    needs = Needs(12 * GIB, GIB, device_bytes=10 * GIB, lower=("train.batch_size",))
    assert judge(needs, room(device=80 * GIB), STORE) == ""
    with pytest.raises(UnreachableError, match=r"of GPU memory; 4\.0 GiB can be had free"):
        judge(needs, room(device=4 * GIB), STORE)


def test_a_containers_limit_counts_where_it_is_lower(monkeypatch, tmp_path):
    own = psutil.Process().memory_info().rss
    monkeypatch.setattr(module, "memory_limit", lambda: MemoryLimit(2 * GIB, 2 * GIB - MIB))
    found = room_here(tmp_path, None)
    assert own - 64 * MIB < found.memory_bytes - MIB < own + 64 * MIB
    assert found.memory_source == "within the container's limit of 2.0 GiB"
    assert found.swap_bytes == 0
    needs = asdict(Needs(4 * GIB, MIB))
    with pytest.raises(UnreachableError, match=r"within the container's limit of 2\.0 GiB"):
        check_room(needs, tmp_path, None)
    monkeypatch.setattr(module, "memory_limit", lambda: None)
    assert room_here(tmp_path, None).memory_source == "here"


def test_a_stage_that_cannot_tell_is_let_go_on(tmp_path):
    assert check_room(None, tmp_path, None) == ""


def test_bytes_are_readable():
    said = [readable(n) for n in (0, 1, 4096, MIB, 1000 * MIB, 3 * GIB // 2)]
    assert said == ["0 KiB", "1 KiB", "4 KiB", "1.0 MiB", "1.0 GiB", "1.5 GiB"]
