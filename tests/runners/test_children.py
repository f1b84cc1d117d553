"""What the process of a program is allowed before anything is asked of it."""

import json
import subprocess
import sys

from edgekd.core.shipped import shipped
from edgekd.devices.scripts import scripts

RUNNERS = shipped("targets") / "runners"
SHOW = """
import json, sys
import children
sent = []
children.Child.send = lambda self, message: sent.append(message["limits"])
job = {"do": "sustain", "timeout_s": 2.0, "threads": 3, "memory_mib": 0} | json.loads(sys.argv[1])
with children.Child(job, {"name": "a", "runner": "bench_onnxruntime.py"}):
    print(json.dumps(sent[0]))
"""


def allowed(**asked: float) -> int:
    command = [sys.executable, "-c", SHOW, json.dumps(asked)]
    shown = subprocess.run(command, cwd=RUNNERS, capture_output=True, check=True)
    return int(json.loads(shown.stdout)["seconds"])


def test_a_process_that_runs_for_minutes_may_use_its_threads_for_as_long() -> None:
    assert allowed(sustained_s=600) - allowed() == 600 * 3


def test_however_a_process_ended_it_is_said() -> None:
    ending = scripts().children.ending
    assert ending(7) == "ended with exit status 7"
    assert ending(-9) == "was killed by SIGKILL"
    assert ending(-40) == "was killed by signal 40"
