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


def test_a_batch_is_so_many_examples_in_turn_and_what_has_no_such_dimension_is_taken_once(
    feeds: Any,
) -> None:
    columns = {"word": np.arange(10).reshape(5, 2), "scale": np.linspace(0, 1, 5)}
    ports = [port("word", "batch", 2), port("scale", dtype="float16")]
    calls = feeds.Feeds(Echo(), columns, ports, []).calls(3, ["word"])
    assert len(calls) == feeds.CALLS
    assert [call["word"][:, 0].tolist() for call in calls[:2]] == [[0, 2, 4], [6, 8, 0]]
    assert calls[1]["scale"] == np.float16(0.75)
    with pytest.raises(ValueError, match="no more than one example a call"):
        feeds.Feeds(Echo(), columns, ports, []).calls(3, [])


def test_whole_calls_are_put_together_along_their_first_dimension(feeds: Any) -> None:
    columns = {"x": np.arange(12).reshape(3, 2, 2)}  # three calls of two examples
    rows = feeds.Feeds(Echo(), columns, [port("x", 2, 2)], [], whole_calls=True)
    first, second, *_ = rows.calls(2, ["x"])
    assert np.array_equal(first["x"], np.arange(8).reshape(4, 2))
    assert np.array_equal(second["x"], np.concatenate([columns["x"][2], columns["x"][0]]))
    assert rows.rows(["x"]) == 2


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


def test_a_whole_call_is_taken_as_it_is_whatever_its_first_dimensions_are(feeds: Any) -> None:
    columns = {
        "x": np.arange(6.0).reshape(2, 1, 3),
        "s": np.zeros((2, 2, 1)),
        "n": np.array([7, 8]),
    }
    ports = [port("x", 1, 3, dtype="float32"), port("s", 2, 1), port("n")]
    taken = feeds.Feeds(Echo(), columns, ports, [], whole_calls=True)
    calls = [taken.next() for _ in range(3)]
    assert [call["x"].tolist() for call in calls] == [[[0, 1, 2]], [[3, 4, 5]], [[0, 1, 2]]]
    assert calls[0]["s"].shape == (2, 1)
    assert [int(call["n"]) for call in calls] == [7, 8, 7]
    assert calls[0]["x"].dtype == "float32"


def test_a_program_without_inputs_is_called_with_none(feeds: Any) -> None:
    assert feeds.Feeds(Echo(), {}, [], [], whole_calls=True).next() == {}
