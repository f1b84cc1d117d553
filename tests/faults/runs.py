"""Runs of the command as a user starts them, watched through their event lines."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psutil

SMALL = """\
name: small
seed: 0
threads: 1
checkpoint: {every_steps: 5}
task: {kind: image_classification, data: digits, train_examples: 256}
stages:
  teacher:
    kind: teacher
    model: {kind: depthwise, width: 8, blocks: [1]}
    train: {epochs: 8, batch_size: 16}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 8, blocks: [1]}
    objective: [{kind: kd, temperature: 4.0}, cross_entropy]
    train: {epochs: 8, batch_size: 16, augment: [{kind: crop, padding: 1}]}
  smaller: {kind: prune, model: $student, transform: {kind: channels, ratio: 0.25, round_to: 1}}
  int8: {kind: quantize, model: $smaller, transform: int8_static}
  onnx: {kind: export, model: $int8, runtime: onnxruntime, parity: {}}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    bench: {mode: quick, restarts: 2, min_runs: 25, min_s: 0.05, warmup_s: 0.05}
    gates: {accuracy_drop: "<= 0.9"}
  report: {kind: report, of: [$check]}
"""
INT8 = "  int8: {kind: quantize, model: $smaller, transform: int8_static}\n"
FP32 = SMALL.replace(INT8, "").replace("$int8", "$smaller")
"""Two thirds of the time: a process takes long to import what quantizes."""
PATIENCE_S = 600
"""More than any run here takes: one that is not done by then hangs."""


@dataclass
class Running:
    """A run under way, with the events that it told so far."""

    process: "subprocess.Popen[str]"
    events: list[dict] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self):
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:  # the line that a kill cut
                    continue
                with self.changed:
                    self.events.append(event)
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def until(self, wanted):
        """Wait until an event is as wanted; False where the run ends before."""
        seen = 0
        end = time.monotonic() + PATIENCE_S
        with self.changed:
            while True:
                if any(map(wanted, self.events[seen:])):
                    return True
                seen = len(self.events)
                if not self._reader.is_alive() or time.monotonic() > end:
                    return False
                self.changed.wait(1)

    def end(self):
        """Wait for the end; return exit status and what it wrote to standard error."""
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        with self.process.stderr as stream:
            return self.process.returncode, stream.read()

    def kill(self, *, tree):
        """End it by SIGKILL: alone, or with every process that it started."""
        parent = psutil.Process(self.process.pid)
        victims = [parent, *(parent.children(recursive=True) if tree else ())]
        for victim in victims:
            try:
                victim.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def last(self, kind):
        """Return the newest event of a kind, or nothing."""
        return next((e for e in reversed(self.events) if e["event"] == kind), None)


def start(file, folder, *options):
    """Start `edgekd run FILE` with store and runs in `folder`."""
    command = [sys.executable, "-m", "edgekd", "run", str(file), "--json"]
    command += ["--store", str(folder / "store"), "--runs", str(folder / "runs"), *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return Running(process)


def run(file, folder, *options):
    """Run to the end; return exit status, events and what was written to standard error."""
    running = start(file, folder, *options)
    status, errors = running.end()
    return status, running.events, errors


def artifacts(folder):
    """Return the name and digest of every file of every model and program that is kept or left."""
    found = {
        (path.name, sha256(path.read_bytes()).hexdigest())
        for path in (folder / "runs").glob("*/*")
        if path.suffix in (".onnx", ".pte")
    }
    for manifest in (folder / "store" / "results").glob("*/manifest.json"):
        described = json.loads(manifest.read_text("utf-8"))
        if described["makes"] in ("model", "program"):
            for name in described["files"]:
                content = (manifest.parent / name).read_bytes()
                found.add((f"{described['stage']}/{name}", sha256(content).hexdigest()))
    return found


def stages(events, kind):
    """Return the stages of which an event tells, in order."""
    return [event["stage"] for event in events if event["event"] == kind]


def write(path: Path, text=SMALL):
    """Write a pipeline file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
