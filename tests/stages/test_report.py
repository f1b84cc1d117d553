import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekd.core import kinds
from edgekd.core.checkpoint import Checkpoint
from edgekd.report.schema.report import Report
from edgekd.stages.report import report

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from evidence import ORIGIN, write_run

sys.path.pop(0)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "out").mkdir()
    return SimpleNamespace(
        name="report",
        out=tmp_path / "out",
        seed=0,
        device="cpu",
        task=None,
        targets={},
        input=lambda ref: tmp_path / "store" / ref.stage,
        unfinished=tmp_path / "unfinished",
        checkpoint=Checkpoint(),
        stop_asked=lambda: False,
        notice=lambda message: None,
        progress=lambda done, total, what, **numbers: None,
        epoch=lambda entry: None,
        origin=ORIGIN,
        ancestors=write_run(tmp_path / "store"),
    )


def options(**values):
    return kinds.stage.get("report").config.model_validate(values)


def test_the_stage_leaves_four_files_that_say_the_same(run, fits):
    facts = report(options(of=("$check",)), run)
    assert sorted(path.name for path in run.out.iterdir()) == [
        "report.html", "report.json", "report.md", "report.xml",
    ]  # fmt: skip
    document = Report.model_validate_json((run.out / "report.json").read_text())
    fits("report-2", (run.out / "report.json").read_text())
    for name in ("report.html", "report.md"):
        assert document.headline.words in (run.out / name).read_text()
    assert facts["result"] == document.headline.words
    assert json.dumps(facts)


def test_a_report_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        options(of=())
