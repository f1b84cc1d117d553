import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd.core.shipped import shipped

RUNNERS = shipped("targets") / "runners"
SHOW = """
import json, resource, sys
import limits
resource.setrlimit(resource.RLIMIT_CORE, [resource.getrlimit(resource.RLIMIT_CORE)[1]] * 2)
limits.confine(memory_mib=int(sys.argv[1]), seconds=0.2, written_mib=3)
names = ("CORE", "CPU", "FSIZE", "DATA")
found = {n: resource.getrlimit(getattr(resource, f"RLIMIT_{n}"))[0] for n in names}
print(json.dumps(found | {"memory": limits.memory_bytes()}))
"""
MEMORY = """
import sys
import limits
limits.CGROUPS, limits.machine.memory_mib = sys.argv[1:], lambda of: "1000"
print(limits.memory_bytes())
"""


def shown(code: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=RUNNERS, capture_output=True, text=True, check=False)


def test_memory_time_and_files_are_limited_and_no_core_is_left() -> None:
    found = json.loads(shown(SHOW, "700").stdout)
    assert (found["CORE"], found["CPU"]) == (0, 1)
    assert (found["FSIZE"], found["DATA"]) == (3 * 2**20, 700 * 2**20)


def test_without_a_word_most_of_the_memory_may_be_used() -> None:
    found = json.loads(shown(SHOW, "0").stdout)
    assert found["DATA"] == int(0.8 * found["memory"]) > 2**28


@pytest.mark.parametrize(
    ("text", "most"),
    [("300000000\n", 300_000_000), ("max\n", 1000 << 20), (f"{1 << 62}\n", 1000 << 20)],
)
def test_a_containers_limit_counts_where_it_is_lower(text: str, most: int, tmp_path: Path) -> None:
    (tmp_path / "limit").write_text(text)
    assert int(shown(MEMORY, str(tmp_path / "absent"), str(tmp_path / "limit")).stdout) == most


def test_what_passes_a_limit_ends_the_process_and_says_so() -> None:
    begin = "import limits; limits.confine(memory_mib=200, seconds=1, written_mib=1)\n"
    assert "MemoryError" in shown(f"{begin}held = bytearray(2**30)").stderr
    assert shown(f"{begin}while True: pass").returncode == -24  # SIGXCPU
    write = "import tempfile\ntempfile.TemporaryFile().write(bytes(2**22))"
    assert "File too large" in shown(begin + write).stderr
