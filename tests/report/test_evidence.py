import pytest
from report_evidence import HOST, ORIGIN, write_run

from edgekd.core.errors import RequestError
from edgekd.report.evidence import read_evidence


def test_raw_samples_are_read_by_restart(tmp_path):
    (check,) = read_evidence(ORIGIN, write_run(tmp_path), ("check",), HOST).validations
    assert [len(one) for one in check.samples["samples/cpu-pte.json"]] == [400, 400, 400]


@pytest.mark.parametrize("broken", ["", "{", '{"schema_version": 99}', "[]"])
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path, broken):
    ancestors = write_run(tmp_path)
    (ancestors["check"].folder / "measurements.json").write_text(broken)
    (tmp_path / "stage-1" / "history.json").write_text(broken)
    with pytest.raises(RequestError) as caught:
        read_evidence(ORIGIN, ancestors, ("check",), HOST)
    text = str(caught.value)
    assert "stages.check" in text
    assert "measurements.json" in text
    assert "stages.student" in text
    assert "run again" in text
