"""Reports of synthetic runs, made once."""

import importlib.util
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "report_evidence", Path(__file__).with_name("evidence.py")
)
evidence = importlib.util.module_from_spec(_SPEC)
sys.modules["report_evidence"] = evidence
_SPEC.loader.exec_module(evidence)


@pytest.fixture(scope="session")
def make(tmp_path_factory, fits):
    """Return a function that makes the report of a synthetic run, which fits its schema."""
    from edgekd.report.build import build_report
    from edgekd.report.evidence import read_evidence

    def report(origin=evidence.ORIGIN, host=evidence.HOST, **options):
        ancestors = evidence.write_run(tmp_path_factory.mktemp("run") / "store", **options)
        document = build_report(read_evidence(origin, ancestors, ("check",), host))
        fits("report-2", document.model_dump_json())
        return document

    return report


@pytest.fixture(scope="session")
def passing(make):
    """Return the report of a run that kept its contract on one target."""
    return make()


@pytest.fixture(scope="session")
def failing(make):
    """Return the report of a run on two targets with every verdict."""
    limits = {"accuracy_drop": "<= 0.03", "latency_p90_ms": "<= 0.1", "size_mib": "<= 0.02"}
    return make(targets=("cpu", "raspberry-pi-5"), limits=limits)
