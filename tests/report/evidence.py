"""Realistic evidence of a run, written as the folders that its stages would leave."""

import json
import math
import random
from pathlib import Path

from edgekd.core.artifact import Manifest
from edgekd.core.protocols.stage import Ancestor, Origin
from edgekd.core.quantity import Quantity
from edgekd.core.results import (
    Gate,
    MeasuredProgram,
    MeasuredTarget,
    Measurement,
    Measurements,
    Quality,
    Reliability,
    Restart,
)

LABELS = [str(digit) for digit in range(10)]
# name, role, runtime, precision, bytes, parameters, accuracy, agreement, p50 in ms
PROGRAMS = [
    ("teacher", "reference", "onnxruntime", "fp32", 489_113, 117_402, 0.9861, 1.0, 0.154),
    ("student", "along", "onnxruntime", "fp32", 46_201, 9_034, 0.9639, 0.9694, 0.0402),
    ("pruned", "along", "onnxruntime", "fp32", 33_912, 6_102, 0.9306, 0.9333, 0.0311),
    ("recovered", "along", "onnxruntime", "fp32", 33_912, 6_102, 0.9611, 0.9667, 0.0309),
    ("onnx", "candidate", "onnxruntime", "int8", 21_844, 6_102, 0.9611, 0.9639, 0.0188),
    ("pte", "candidate", "executorch", "int8", 18_320, 6_102, 0.9583, 0.9611, 0.0171),
]
CONTROL = ("labels_only", "along", "onnxruntime", "fp32", 46_233, 9_034, 0.9411, 0.945, 0.0403)
# name, kind, what it was made from
MODELS = [
    ("teacher", "teacher", ()),
    ("student", "distill", ("teacher",)),
    ("pruned", "prune", ("student",)),
    ("recovered", "distill", ("teacher", "pruned")),
    ("int8", "quantize", ("recovered",)),
]
LIMITS = {"accuracy_drop": "<= 0.05", "latency_p90_ms": "<= 0.05", "size_mib": "<= 0.1"}
PIPELINE = """name: quickstart
seed: 0
task: {kind: image_classification, data: digits}
stages:
  teacher: {kind: teacher, model: {kind: resnet, depth: 8, width: 16}}
  student: {kind: distill, teacher: $teacher, model: {kind: depthwise, width: 8}}
  check: {kind: validate, programs: [$onnx, $pte], reference: $teacher, targets: [cpu]}
  report: {kind: report, of: [$check]}
"""
HOST = {"cpu": "AMD EPYC 7763", "arch": "x86_64", "cores": "2", "system": "Linux 6.1"}
ORIGIN = Origin(
    "quickstart",
    "pipelines/quickstart.yaml",
    PIPELINE,
    (),
    "edgekd run pipelines/quickstart.yaml",
    "2026-11-23T09:00:00+00:00",
)


def write_run(
    root: Path,
    *,
    targets: tuple[str, ...] = ("cpu",),
    emulated: tuple[str, ...] = (),
    limits: dict[str, str] | None = None,
    labels: list[str] = LABELS,
    names: dict[str, str] | None = None,
    trained: bool = True,
    spread: bool = True,
    control: bool = False,
    along: tuple[str, ...] = ("student", "pruned", "recovered"),
    trials: int = 0,
    facts: dict[str, object] | None = None,
) -> dict[str, Ancestor]:
    """Write a run's folders below `root`; return its ancestors as a report stage sees them.

    `names` renames programs; `spread=False` leaves out reliability and per-class results;
    `trials` are further students, each exported as a candidate;
    `control` measures a student taught by labels alone, named first along the way; `facts` are
    those of the check.
    """
    chance = random.Random(7)
    chosen = [p for p in PROGRAMS if p[1] != "along" or p[0] in along]
    chosen += [_trial(number) for number in range(1, trials + 1)]
    chosen[1:1] = [CONTROL] if control else []
    programs = [((names or {}).get(p[0], p[0]), *p[1:]) for p in chosen]
    ancestors: dict[str, Ancestor] = {}

    def add(name: str, kind: str, inputs: tuple[str, ...], facts: dict[str, object]) -> Path:
        folder = root / f"stage-{len(ancestors)}"
        folder.mkdir(parents=True)
        contents = {one: ancestors[one].manifest.content for one in inputs}
        ancestors[name] = _ancestor(folder, name, kind, len(ancestors), contents, facts)
        return folder

    called = dict(zip((p[0] for p in chosen), (p[0] for p in programs), strict=True))
    models = [*MODELS, *([("labels_only", "distill", ())] if control else [])]
    tried = [f"student.{number}" for number in range(1, trials + 1)]
    models += [(name, "distill", ("teacher",)) for name in tried]
    made_from = {name.replace("student", "onnx"): name for name in tried}
    for model, kind, inputs in models:
        named = tuple(called.get(one, one) for one in inputs)
        folder = add(called.get(model, model), kind, named, _scored(model))
        if trained and kind in ("teacher", "distill"):
            (folder / "history.json").write_text(
                json.dumps(history(chance, teaching="teacher" in inputs))
            )
    exports = []
    for name, role, *_ in programs:
        exports.append(name if role == "candidate" else f"{name}.onnx")
        of = made_from.get(name, "int8" if role == "candidate" else name)
        add(exports[-1], "export", (of,), {})
    folder = add("check", "validate", tuple(exports), facts or {})
    (folder / "samples").mkdir()
    found = measure(folder, chance, programs, targets, emulated, limits, labels, spread)
    (folder / "measurements.json").write_text(found.model_dump_json(indent=1))
    return ancestors


def _trial(number: int) -> tuple[object, ...]:
    """Return a candidate, as in `PROGRAMS`: the larger, the better and the slower."""
    quality, size = 0.9 + 0.0015 * number, 15_000 + 900 * number
    name, parameters = f"onnx.{number}", 4_000 + 300 * number
    p50 = 0.012 * 1.05**number
    return (name, "candidate", "onnxruntime", "int8", size, parameters, quality, quality, p50)


def _scored(model: str) -> dict[str, object]:
    """Return the facts of a stage that scored its model on the validation split."""
    facts: dict[str, object] = {"measure": "accuracy", "result": Quantity(0.96, "share").as_dict()}
    if model in ("teacher", "student"):
        facts["training"] = {
            "precision": "float32",
            "samples_per_s": 2345.6,
            "time_shares": {"data": 0.04, "student": 0.9, "optimizer": 0.06},
            "first_step_s": 0.0123,
            "peak_memory_mib": 345.6,
        }
    return facts | ({"fp32": Quantity(0.961, "share").as_dict()} if model == "int8" else {})


def _ancestor(folder, name, kind, index, inputs, facts) -> Ancestor:
    began = f"2026-11-23T{9 + index // 60:02}:{index % 60:02}:00+00:00"
    manifest = Manifest(
        f"{index + 1:02x}8f3a20c1d9e04b7a"[:16], name, kind, "model",
        {"seed": 0, "options": {"kind": kind}}, inputs, {"says": f"{kind} of {name}", **facts}, {},
        began, 12.3 * (index + 1), 20.1 * (index + 1), HOST,
    )  # fmt: skip
    manifest.write(folder)
    return Ancestor(folder, manifest)


def measure(folder, chance, programs, targets, emulated, limits, labels, spread) -> Measurements:
    """Return measurements of every program on every target; raw samples are written."""
    measurements, quality, gates = [], [], []
    for number, target in enumerate(targets):
        slow = 1 + 5.5 * number
        for program in programs:
            one = _measurement(folder, chance, program, target, slow)
            if target in emulated:
                one = _untimed(one)
            measurements.append(one)
            if spread:
                quality.append(_quality(chance, program, target, labels))
            if program[1] == "candidate":
                gates += _gates(one, LIMITS if limits is None else limits, target in emulated)
    return Measurements(
        reference=programs[0][0],
        split="test",
        examples=360,
        targets=[_target(target, target in emulated) for target in targets],
        programs=[
            MeasuredProgram(
                name=p[0], role=p[1], runtime=p[2], precision=p[3], size_bytes=p[4],
                file=f"{p[0]}.{'pte' if p[2] == 'executorch' else 'onnx'}", digest="ab" * 32,
                parameters=p[5],
            )
            for p in programs
        ],
        measurements=measurements,
        quality=quality,
        gates=gates,
    )  # fmt: skip


def _target(name: str, emulated: bool) -> MeasuredTarget:
    machine = {
        "cpu": "AMD EPYC 7763, 2 cores, AVX2",
        "memory": "7.8 GiB",
        "os": "Debian 12, Linux 6.1",
        "governor": "not readable",
        "onnxruntime": "1.31.1",
        "executorch": "1.5.1",
        "threads": "1",
    }
    return MeasuredTarget(
        name=name, description=f"the machine '{name}'", emulated=emulated, machine=machine,
        measured_at="2026-11-23T09:07:12+00:00",
    )  # fmt: skip


def _share(value: float, n: int) -> Quantity:
    half = 1.96 * math.sqrt(max(value * (1 - value), 1e-4) / n)
    return Quantity(value, "share", max(0.0, value - half), min(1.0, value + half), n)


def _measurement(folder, chance, program, target, slow) -> Measurement:
    name, role, *_, size, _, accuracy, agreement, p50 = program
    restarts = [
        [p50 * slow * chance.lognormvariate(0, 0.05) * (1 + 0.4 * (chance.random() > 0.93))
         for _ in range(400)]
        for _ in range(3)
    ]  # fmt: skip
    known = {p[-1]: p[0] for p in (*PROGRAMS, CONTROL)}  # `names` may hold what no file can
    file = f"samples/{target}-{known.get(p50, name)}.json"
    (folder / file).write_text(json.dumps(restarts))
    values = sorted(x for one in restarts for x in one)

    def at(share: float) -> Quantity:
        value = values[math.ceil(share * len(values)) - 1]
        wide = 0.01 + 0.05 * share**4
        return Quantity(value, "ms", value * (1 - wide), value * (1 + wide), 3)

    quantities = {
        "accuracy": _share(accuracy, 360),
        "agreement": _share(agreement, 360),
        "ece": Quantity(0.031, "share", 0.022, 0.043, 360),
        "latency_p50_ms": at(0.5),
        "latency_p90_ms": at(0.9),
        "latency_p95_ms": at(0.95),
        "latency_p99_ms": at(0.99),
        "size_mib": Quantity(size / 2**20, "MiB"),
        "peak_rss_mib": Quantity(61.2 if "ort" in program[2] else 358.0, "MiB", 60.8, 361.0, 3),
    }
    if role != "reference":
        drop = PROGRAMS[0][6] - accuracy
        quantities["accuracy_drop"] = Quantity(
            drop, "share_difference", drop - 0.012, drop + 0.012, 360
        )
        ratio = PROGRAMS[0][8] / p50
        quantities["size_ratio"] = Quantity(PROGRAMS[0][4] / size, "x")
        quantities["speedup"] = Quantity(ratio, "x", ratio * 0.97, ratio * 1.03, 3)
    return Measurement(
        program=name, target=target, quantities=quantities, samples=file, valid=True, notes=[],
        restarts=[
            Restart(
                load_ms=3.1 + chance.random(), first_ms=p50 * slow * 9, warmup_runs=1200,
                runs=400, wall_s=0.4, cpu_s=p50 * slow * 0.4, peak_rss_mib=60 + chance.random(),
                load_average=0.4, settled=True, drift=0.01,
            )
            for _ in range(3)
        ],
    )  # fmt: skip


def _untimed(measured: Measurement) -> Measurement:
    timed = ("latency", "speedup", "peak")
    rest = {k: q for k, q in measured.quantities.items() if not k.startswith(timed)}
    return measured.model_copy(update={"quantities": rest, "restarts": [], "samples": ""})


def _quality(chance, program, target, labels) -> Quality:
    bins = [
        (0.35, 0.3, 5), (0.45, 0.44, 9), (0.55, 0.48, 14), (0.65, 0.72, 21), (0.75, 0.7, 30),
        (0.85, 0.8, 48), (0.96, 0.985, 233),
    ]  # fmt: skip
    return Quality(
        program=program[0],
        target=target,
        reliability=[
            Reliability(confidence=c, accuracy=min(1, a + chance.uniform(-0.05, 0.05)), count=n)
            for c, a, n in bins
        ],
        per_class={
            label: _share(min(1.0, program[6] + chance.uniform(-0.07, 0.03)), 36)
            for label in labels
        },
    )


def _gates(measured: Measurement, limits: dict[str, str], emulated: bool) -> list[Gate]:
    gates = []
    for name, limit in limits.items():
        if emulated and name.startswith("latency"):
            continue
        value = measured.quantities[name]
        bound = float(limit.split()[1])
        low, high = value.low or value.value, value.high or value.value
        verdict = "pass" if high <= bound else "fail" if low > bound else "inconclusive"
        reason = {
            "pass": "the whole interval keeps the limit",
            "fail": "the whole interval is beyond the limit",
            "inconclusive": f"{value} reaches across the limit",
        }[verdict]
        gates.append(
            Gate(
                name=name, limit=limit, program=measured.program, target=measured.target,
                measured=value, verdict=verdict, reason=reason,
            )
        )  # fmt: skip
    return gates


def history(chance: random.Random, *, teaching: bool, epochs: int = 15) -> dict[str, object]:
    """Return a training history that looks like one."""
    rows = []
    for epoch in range(1, epochs + 1):
        fall = math.exp(-epoch / 4) + 0.03 * chance.random()
        terms = {"cross_entropy": 2.2 * fall + 0.05}
        if teaching:
            terms = {"kd": 3.1 * fall + 0.3, **terms}
        rows.append({
            "epoch": epoch, "learning_rate": 0.1 * math.cos(epoch / epochs * 1.5),
            "loss": sum(terms.values()), "terms": terms,
            "spreads": {name: value / 8 for name, value in terms.items()},
            "validation": {"accuracy": 0.97 - 0.7 * math.exp(-epoch / 3) - 0.01 * chance.random()},
        })  # fmt: skip
    best = max(rows, key=lambda row: row["validation"]["accuracy"])["epoch"]
    return {"monitor": "accuracy", "best_epoch": best, "epochs": rows}
