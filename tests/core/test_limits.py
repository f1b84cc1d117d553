"""Limits of control groups, read from a made-up /proc and /sys."""

import pytest

from edgekd.core.limits import MemoryLimit, cpu_limit, memory_limit


def test_a_system_without_groups_sets_no_limit(tmp_path):
    assert memory_limit(tmp_path) is None
    assert cpu_limit(tmp_path) is None


def test_the_second_version_is_read(put):
    root = put(**{
        "proc/self/cgroup": "0::/box\n",
        "sys/fs/cgroup/box/memory.max": "4000\n",
        "sys/fs/cgroup/box/memory.current": "1500\n",
        "sys/fs/cgroup/box/memory.stat": "anon 900\ninactive_file 500\n",
        "sys/fs/cgroup/box/cpu.max": "150000 100000\n",
    })  # fmt: skip
    assert memory_limit(root) == MemoryLimit(4000, 1000)
    assert cpu_limit(root) == 1.5


def test_the_first_version_is_read(put):
    root = put(**{
        "proc/self/cgroup": "4:memory:/box\n3:cpu,cpuacct:/box\n",
        "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "4000\n",
        "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "1500\n",
        "sys/fs/cgroup/memory/box/memory.stat": "total_inactive_file 500\n",
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
    })  # fmt: skip
    assert memory_limit(root) == MemoryLimit(4000, 1000)
    assert cpu_limit(root) == 0.5


def test_a_container_sees_its_group_where_the_groups_are_mounted(put):
    root = put(**{
        "proc/self/cgroup": "0::/system.slice/box\n",
        "sys/fs/cgroup/memory.max": "4000\n",
        "sys/fs/cgroup/memory.current": "100\n",
    })  # fmt: skip
    assert memory_limit(root) == MemoryLimit(4000, 100)


def test_the_group_that_leaves_the_least_counts(put):
    root = put(**{
        "proc/self/cgroup": "0::/outer/inner\n",
        "sys/fs/cgroup/outer/memory.max": "4000\n",
        "sys/fs/cgroup/outer/memory.current": "3900\n",
        "sys/fs/cgroup/outer/inner/memory.max": "1000\n",
        "sys/fs/cgroup/outer/inner/memory.current": "100\n",
    })  # fmt: skip
    assert memory_limit(root) == MemoryLimit(4000, 3900)


def test_the_group_that_grants_the_least_time_counts(put):
    root = put(**{
        "proc/self/cgroup": "0::/outer/inner\n",
        "sys/fs/cgroup/outer/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/outer/inner/cpu.max": "200000 100000\n",
    })  # fmt: skip
    assert cpu_limit(root) == 0.5


def test_more_cache_than_is_used_leaves_no_more_than_the_limit(put):
    root = put(**{
        "proc/self/cgroup": "0::/box\n",
        "sys/fs/cgroup/box/memory.max": "4000\n",
        "sys/fs/cgroup/box/memory.current": "100\n",
        "sys/fs/cgroup/box/memory.stat": "inactive_file 500\n",
    })  # fmt: skip
    assert memory_limit(root) == MemoryLimit(4000, 0)


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "", "what\n"])
def test_no_limit_is_written_in_several_ways(put, text):
    root = put(**{
        "proc/self/cgroup": "0::/\n4:memory:/\n",
        "sys/fs/cgroup/memory.max": text,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": text,
        "sys/fs/cgroup/cpu.max": "max 100000\n",
    })  # fmt: skip
    assert memory_limit(root) is None
    assert cpu_limit(root) is None
    put(**{"sys/fs/cgroup/cpu.max": "-1 100000\n"})
    assert cpu_limit(root) is None
