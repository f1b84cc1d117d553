import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.core.shipped import shipped


@pytest.fixture
def feeds(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(shipped("targets") / "runners"))
    import feeds

    yield feeds
    del sys.modules["feeds"]


class Echo:
    """Adds its input to its state."""

    max_batch = None

    def prepare(self, arrays: dict[str, Any]) -> dict[str, Any]:
        return dict(arrays)

    def arrays(self, raw: dict[str, Any]) -> dict[str, Any]:
        return raw


def port(name: str, *shape: int | str, dtype: str = "int64") -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "dtype": dtype}


def test_samples_take_turns_one_at_a_time(feeds: Any) -> None:
    rows = feeds.Feeds(Echo(), {"x": np.arange(3)}, [port("x", "batch")], [])
    assert [rows.next()["x"].tolist() for _ in range(5)] == [[0], [1], [2], [0], [1]]
    assert rows.any_batch()


def test_a_fixed_number_of_examples_is_kept_and_the_rest_repeats_the_last(feeds: Any) -> None:
    rows = feeds.Feeds(Echo(), {"x": np.arange(5)}, [port("x", 2)], [])
    assert not rows.any_batch()
    assert rows.step == 2
    assert rows.sample(4, 2)["x"].tolist() == [4, 4]


def test_several_inputs_of_any_type_come_as_the_program_wants_them(feeds: Any) -> None:
    columns = {"word": np.arange(4), "scale": np.linspace(0, 1, 4)}
    ports = [port("word", "batch", dtype="int32"), port("scale", dtype="float16")]
    sample = feeds.Feeds(Echo(), columns, ports, []).sample(1, 1)
    assert sample["word"].dtype == np.int32
    assert sample["scale"].dtype == np.float16
    assert sample["scale"].shape == ()


def test_state_goes_round_and_starts_anew_with_every_pass(feeds: Any) -> None:
    ports = [port("x", "batch"), port("sum", 1)]
    rows = feeds.Feeds(Echo(), {"x": np.array([1, 2])}, ports, [("total", "sum")])
    seen = []
    for _ in range(4):
        given = rows.next()
        seen.append(given["sum"].tolist())
        rows.keep({"total": given["sum"] + given["x"]})
    assert seen == [[0], [1], [0], [1]]


def test_runners_need_nothing_but_numpy_and_their_runtime() -> None:
    runners = list((shipped("targets") / "runners").glob("*.py"))
    allowed = {"numpy", "onnxruntime", "executorch", "torch", *(path.stem for path in runners)}
    for path in runners:
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                root = words[1].partition(".")[0].strip(",")
                assert root in allowed or root in sys.stdlib_module_names, f"{path.name}: {line}"
    assert Path(shipped("targets") / "cpu.yaml").is_file()
