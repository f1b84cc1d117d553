"""A budget, and where the pipeline may be written."""

import pytest

from edgekd.core.errors import RequestError
from edgekd.recommend.asked import Budget, read_budget, read_out


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("30m", Budget(1800, "seconds")),
        ("1.5h", Budget(5400, "seconds")),
        ("90 s", Budget(90, "seconds")),
        ("40epochs", Budget(40, "epochs")),
        ("1epoch", Budget(1, "epochs")),
    ],
)
def test_a_budget_is_of_time_or_epochs(text, budget):
    assert read_budget(text) == budget


@pytest.mark.parametrize("text", ["", "30", "m", "0m", "-3s", "ten epochs", "3d"])
def test_anything_else_is_refused_with_what_would_do(text):
    with pytest.raises(RequestError, match="--budget") as error:
        read_budget(text)
    assert "30m, 90s, 2h or 40epochs" in str(error.value)


def test_it_is_written_beside_the_file_and_never_over_one_that_is_there(tmp_path):
    file = tmp_path / "mine.yaml"
    file.touch()
    assert read_out(file, None, force=False) == tmp_path / "mine-recommended.yaml"
    (tmp_path / "mine-recommended.yaml").touch()
    with pytest.raises(RequestError, match=r"is there already\.\n  Give another name with --out"):
        read_out(file, None, force=False)
    assert read_out(file, None, force=True).name == "mine-recommended.yaml"
    with pytest.raises(RequestError, match=r"^--out\n.*in another folder .*\n  Write it beside"):
        read_out(file, tmp_path / "sub" / "x.yaml", force=False)
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestError, match="is a folder"):
        read_out(file, tmp_path / "folder", force=True)
