import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.core.shipped import shipped

RUNNERS = shipped("targets") / "runners"
sys.path.insert(0, str(RUNNERS))
try:
    import external_data
finally:
    sys.path.pop(0)


ESCAPED = "surrogateescape"


def tensor(name: str, location: str = "", **more: str) -> TensorProto:
    made = numpy_helper.from_array(np.ones((4, 4), np.float32), name)
    if location:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            made.external_data.add(key=key, value=value)
    return made


def sparse(location: str) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(
        values=tensor("v", location), indices=tensor("i", f"{location}.indices"), dims=[4, 4]
    )


def everywhere() -> onnx.ModelProto:
    """Return a model that names external data at every place where a tensor may stand."""
    inner = helper.make_graph([], "inner", [], [], [tensor("a", "inner", offset="4096")])
    held = helper.make_node("Constant", [], ["c"], value=tensor("b", "constant"))
    listed = helper.make_node("Odd", [], ["d"], many=[tensor("e", "listed")])
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    cases = [helper.make_graph([], "case", [], [], [tensor("i", "graphs")])]
    thin = helper.make_node("Constant", [], ["k"], sparse_value=sparse("thin"))
    more = helper.make_node("Odd", [], ["l"], cases=cases, each=[sparse("each")])
    graph = helper.make_graph(
        [held, listed, branch, thin, more],
        "g",
        [],
        [],
        [tensor("plain"), tensor("f", "initializer")],
        sparse_initializer=[sparse("sparse")],
    )
    body = helper.make_node("Constant", [], ["z"], value=tensor("g", "function"))
    given = [helper.make_attribute("given", tensor("m", "default"))]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("d", "F", [], ["z"], [body], opsets, attribute_protos=given)
    model = helper.make_model(graph, functions=[function])
    training = model.training_info.add()
    training.algorithm.initializer.append(tensor("h", "training"))
    training.initialization.initializer.append(tensor("n", "beginning"))
    return model


def test_every_place_where_a_tensor_may_stand_is_seen(tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_bytes(everywhere().SerializeToString())
    assert external_data.locations(tmp_path / "p.onnx") == sorted(
        [
            "inner",
            "constant",
            "listed",
            "initializer",
            "sparse",
            "sparse.indices",
            "function",
            "training",
            "graphs",
            "thin",
            "thin.indices",
            "each",
            "each.indices",
            "default",
            "beginning",
        ]
    )


def test_a_file_in_the_folder_or_below_it_is_the_programs_own(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("below/größe 1", "b"):
        (tmp_path / name).write_bytes(b"x")
    tensors = [tensor("a", "./below/größe 1"), tensor("b", "b"), tensor("c", "b")]
    graph = helper.make_graph([], "g", [], [], tensors)
    onnx.save(helper.make_model(graph), tmp_path / "p.onnx")
    assert external_data.check(tmp_path / "p.onnx") == ["b", "below/größe 1"]


@pytest.mark.parametrize(
    "location",
    [
        *("/etc/passwd", "../b", "below/../../b", "link", "below/b", "missing", "", ".", "fifo"),
        *("C:\\b", "..\\b", "b\0", "*/_ORT_MEM_ADDR_/*"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    import os

    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "b").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path / "b")
    (folder / "below").symlink_to(tmp_path)
    os.mkfifo(folder / "fifo")
    held = tensor("a", "somewhere")
    held.external_data[0].value = location
    graph = helper.make_graph([], "g", [], [], [held])
    (folder / "p.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(external_data.RefusedError, match="names external data"):
        external_data.check(folder / "p.onnx")


def test_a_location_that_is_said_twice_counts_as_parsers_count_it(tmp_path: Path) -> None:
    held = tensor("a", "first")
    entry = held.external_data[0].SerializeToString() + b"\x12\x06second"
    held.ClearField("external_data")
    data = held.SerializeToString() + b"\x6a" + bytes([len(entry)]) + entry
    graph = b"\x2a" + bytes([len(data)]) + data
    (tmp_path / "p.onnx").write_bytes(b"\x3a" + bytes([len(graph)]) + graph)
    parsed = onnx.load(tmp_path / "p.onnx", load_external_data=False)
    (said,) = parsed.graph.initializer[0].external_data
    assert external_data.locations(tmp_path / "p.onnx") == [said.value] == ["second"]


def test_mutated_files_are_read_or_refused_and_nothing_that_onnx_sees_is_missed(
    tmp_path: Path,
) -> None:
    whole, chance = everywhere().SerializeToString(), random.Random(0)
    path, understood = tmp_path / "p.onnx", 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
        try:
            found = set(external_data.locations(path))
        except external_data.RefusedError:
            continue
        try:
            model = onnx.ModelProto.FromString(path.read_bytes())
        except Exception:  # what no parser reads no runtime opens
            continue
        understood += 1
        names = {
            entry.value if isinstance(entry.value, str) else entry.value.decode("utf-8", ESCAPED)
            for held in onnx.external_data_helper._get_all_tensors(model)
            for entry in held.external_data
            if entry.key == "location"
        }
        assert names <= found
    assert understood > 50


def test_nothing_but_the_standard_library_is_loaded() -> None:
    code = "import sys, external_data; print('numpy' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=RUNNERS, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
