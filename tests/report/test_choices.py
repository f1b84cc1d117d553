"""What a stage chose by measurement, as the report shows it."""

from dataclasses import replace

from report_evidence import ORIGIN

from edgekd.core.artifact import Manifest
from edgekd.core.quantity import Quantity
from edgekd.report.choices import choices
from edgekd.report.evidence import Evidence
from edgekd.report.sections.choice import choice, tried_table

ROWS = [
    {
        "name": "executorch int8_static",
        "became": "chosen",
        "quantities": {
            "latency_p50_ms": Quantity(0.015, "ms", 0.0146, 0.0156, 900).as_dict(),
            "accuracy": Quantity(0.989, "share", 0.968, 0.996, 270).as_dict(),
            "size_mib": Quantity(0.0938, "MiB").as_dict(),
        },
        "restarts": 3,
    },
    {"name": "onnxruntime int4", "became": "was not made: no.", "quantities": {}, "restarts": 0},
]


def evidence(host=None, started="2026-11-23T09:00:00+00:00"):
    facts = {
        "candidates": ROWS,
        "targets": ["cpu"],
        "says": "executorch int8_static, the best of 2",
        "budget": {"quality": "accuracy", "most": 0.01},
    }
    chose = Manifest("ab", "best", "choose", "program", {}, {}, facts, {},
                     "2026-11-23T09:10:00+00:00", 1.0, 1.0, host or {})  # fmt: skip
    other = replace(chose, stage="student", kind="distill", facts={})
    origin = replace(ORIGIN, started_at=started)
    return Evidence(origin, [], {}, {"student": other, "best": chose}, {"cpu": "here"})


def test_only_stages_that_chose_are_shown_with_all_that_they_tried():
    (found,) = choices(evidence())
    assert (found.stage, found.targets, found.max_drop) == ("best", ["cpu"], 0.01)
    table = tried_table(found)
    assert "at most 1.00 pt may be lost" in table.title
    assert [str(cell) for cell in table.rows[0]] == [
        "executorch int8_static",
        "0.0150 ms [0.0146, 0.0156]",
        "98.9 % [96.8, 99.6]",
        "0.0938 MiB",
        "3",
        "chosen",
    ]
    assert [str(cell) for cell in table.rows[1]] == [
        "onnxruntime int4", "—", "—", "—", "—", "was not made: no.",
    ]  # fmt: skip


def test_latencies_that_need_care_say_so_in_their_cell():
    (kept,) = choices(evidence(started="2026-11-23T09:30:00+00:00"))
    assert "(kept from an earlier run)" in str(tried_table(kept).rows[0][1])
    (foreign,) = choices(evidence(host={"cpu": "there"}))
    assert "(taken from another machine)" in str(tried_table(foreign).rows[0][1])


def test_a_run_that_chose_nothing_has_no_such_section():
    class Report:
        choices = ()

    assert choice(Report()) is None
