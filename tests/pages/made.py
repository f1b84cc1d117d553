"""Pages to look at: of real runs here, and of a run as large as they come."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/report"))
import evidence  # noqa: E402

from edgekd.report.build import build_report  # noqa: E402
from edgekd.report.evidence import read_evidence  # noqa: E402
from edgekd.report.html import to_html  # noqa: E402

TARGETS, CANDIDATES = 20, 50
RUN = ("Step by step", "Latency", "Quality", "Trade-off", "Training", "Provenance")
BENCH = ("Latency", "Throughput", "Sustained load", "Where the time goes", "What was run",
         "Provenance")  # fmt: skip
COMPARED = ("Outcome", "What was different", "The runs, and how to repeat them")


@dataclass(frozen=True)
class Made:
    """A page, and the sections that it must have."""

    file: Path
    sections: tuple[str, ...]


def pages(folder: Path) -> Iterator[Made]:
    """Make all pages below a folder, which keeps what the runs came to."""
    base = run(folder, "run")
    yield Made(written(base, folder / "run.html"), RUN)
    other = run(folder, "other", "--set", "stages.student.train.epochs=5")
    compared = folder / "compared.html"
    edgekd("compare", base, other, "-o", compared, accepted=(0, 1))
    yield Made(compared, COMPARED)
    models = (base / "student_int8.onnx", other / "student_int8.onnx")
    benched = folder / "benched.html"
    more = ("--mode", "quick", "--profile", "--throughput", "--sustained", "10")
    edgekd("bench", models[0], "--against", models[1], *more, "-o", benched,
           "--runs", folder / "runs")  # fmt: skip
    yield Made(benched, BENCH)
    yield Made(many(folder), RUN)


def run(folder: Path, name: str, *options: str) -> Path:
    """Run the quickstart and return its folder; a gate may fail on a busy machine."""
    said = edgekd(
        "run", ROOT / "pipelines/quickstart.yaml", *options, "--json",
        "--store", folder / "store", "--runs", folder / f"runs-{name}", accepted=(0, 1),
    )  # fmt: skip
    return Path(json.loads(said.splitlines()[-1])["folder"])


def written(of: Path, page: Path) -> Path:
    """Write a run's page to a place of its own."""
    edgekd("report", of, "-o", page)
    return page


def edgekd(command: str, *options: object, accepted: tuple[int, ...] = (0,)) -> str:
    """Return what a command prints."""
    line = [sys.executable, "-m", "edgekd", command, *map(str, options)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode not in accepted:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def many(folder: Path) -> Path:
    """Write the page of a synthetic run with many candidates, each trained, on many targets."""
    targets = tuple(f"board-{number:02}" for number in range(TARGETS))
    known = sum(program[1] == "candidate" for program in evidence.PROGRAMS)
    with TemporaryDirectory() as store:
        ancestors = evidence.write_run(
            Path(store),
            targets=targets,
            trials=CANDIDATES - known,
        )
        given = read_evidence(evidence.ORIGIN, ancestors, ("check",), evidence.HOST)
    report = build_report(given)
    page = folder / "many.html"
    page.write_text(to_html(report), "utf-8")
    return page
