"""A machine made of files."""

import tempfile
import time

import pytest

from edgekd.cli.checks import machine

GIB = 2**30


@pytest.mark.parametrize(
    ("limit", "level"), [(24, "ok"), (16, "ok"), (8, "hint"), (0.5, "wrong")]
)  # fmt: skip
def test_a_containers_memory_is_told_beside_the_machines(limit, level, put):
    root = put(**{
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": str(int(limit * GIB)),
        "sys/fs/cgroup/memory.current": "0",
    })  # fmt: skip
    (only,) = machine.memory(root, total=24 * GIB)
    assert only.level == level
    assert ("by a container's limit; the machine has 24.0 GiB" in only.found) == (limit < 24)


def test_a_machine_without_limits_has_what_it_has(tmp_path):
    (only,) = machine.memory(tmp_path, total=24 * GIB)
    assert (only.level, only.found) == ("ok", "24.0 GiB")


def test_a_quota_of_processor_time_is_told_with_the_threads_to_set(put):
    root = put(**{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000"})
    (only,) = machine.processors(root, allowed=8, seen=8)
    assert (only.level, only.found) == ("hint", "8 are seen, but a quota grants 2.5")
    assert "Set threads: 2 in the pipeline file" in only.cure
    assert next(machine.processors(root, allowed=2, seen=2)).level == "ok"


def test_processors_that_others_have_are_told(tmp_path):
    (only,) = machine.processors(tmp_path, allowed=2, seen=16)
    assert (only.level, only.found) == ("hint", "16 are seen, but 2 may be used")
    assert "Set threads: 2" in only.cure


@pytest.mark.parametrize(
    ("rule", "driver", "level"),
    [("powersave", "acpi-cpufreq", "hint"), ("powersave", "intel_pstate", "ok"),
     ("performance", "acpi-cpufreq", "ok")],
)  # fmt: skip
def test_a_governor_that_holds_the_clock_low_is_a_hint(rule, driver, level, put):
    folder = "sys/devices/system/cpu/cpu0/cpufreq"
    root = put(**{f"{folder}/scaling_governor": rule, f"{folder}/scaling_driver": driver})
    (only,) = machine.governor(root)
    assert only.level == level


def test_a_machine_without_governor_is_nothing_to_speak_of(tmp_path):
    assert not list(machine.governor(tmp_path))


def test_swap_in_use_is_a_hint():
    assert not list(machine.swap(0))
    assert next(machine.swap(GIB)).found == "1.0 GiB are in use"


def test_a_clock_before_the_installation_is_wrong():
    assert not list(machine.clock())
    (only,) = machine.clock(0.0)
    assert only.found.startswith("it says 1970-01-01, but edgekd was installed here on 2")
    assert not list(machine.clock(time.time() + 1e9))


@pytest.mark.parametrize("name", ["utf-8", "UTF-8", "utf8"])
def test_utf8_is_as_it_should_be(name):
    assert not list(machine.encoding(name))


def test_another_encoding_is_wrong():
    (only,) = machine.encoding("iso8859-1")
    assert (only.level, only.found) == ("wrong", "text is written as iso8859-1")
    assert "LC_ALL=C.UTF-8" in only.cure


def test_a_small_folder_for_temporary_files_is_a_hint():
    (only,) = machine.temporary(free=1000)
    assert only.level == "hint"
    assert f"1 KiB are free in {tempfile.gettempdir()}" in only.found


def test_a_folder_that_starts_no_program_is_a_hint(monkeypatch):
    assert next(machine.temporary()).level == "ok"

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.subprocess, "run", refuse)
    (only,) = machine.temporary()
    assert "noexec" in only.found
