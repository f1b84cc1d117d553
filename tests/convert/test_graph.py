"""Graphs keep what they compute while they are put into order."""

import onnx
import pytest
from onnx import TensorProto, helper

from edgekd.convert.graph import make_ready, sort_nodes

node, value = helper.make_node, helper.make_tensor_value_info


def branching():
    """Return a graph whose If reads, in its branches alone, a value that a node after it makes."""

    def branch(name, operator):
        ends = [value(name, TensorProto.FLOAT, [2])]
        return helper.make_graph([node(operator, ["late"], [name])], name, [], ends)

    choice = {"then_branch": branch("t", "Relu"), "else_branch": branch("e", "Neg")}
    nodes = [node("If", ["yes"], ["y"], **choice), node("Abs", ["x"], ["late"])]
    inputs = [value("x", TensorProto.FLOAT, [2]), value("yes", TensorProto.BOOL, [])]
    graph = helper.make_graph(nodes, "g", inputs, [value("y", TensorProto.FLOAT, [2])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_node_stands_behind_what_the_graphs_inside_it_read():
    model = branching()
    with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
        onnx.checker.check_model(model)
    sort_nodes(model.graph)
    onnx.checker.check_model(model)
    assert [each.op_type for each in model.graph.node] == ["Abs", "If"]


def test_a_graph_with_a_cycle_is_left_to_the_checker():
    model = branching()
    model.graph.node[1].input[0] = "y"
    before = model.SerializeToString()
    sort_nodes(model.graph)
    assert model.SerializeToString() == before


def test_nodes_get_names_of_their_own_also_inside_an_if():
    model = branching()
    model.graph.node[0].name = model.graph.node[1].name = "twice"
    ready = make_ready(model)
    inner = [a.g.node[0].name for a in ready.graph.node[0].attribute]
    assert [each.name for each in ready.graph.node] == ["twice", "twice_2"]
    assert sorted(inner) == ["e/Neg", "t/Relu"]


def test_local_functions_are_written_out():
    model = branching()
    domains = [helper.make_opsetid("", 17)]
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], domains
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node[1].CopyFrom(node("Twice", ["x"], ["late"], domain="own"))
    left = {each.op_type for each in make_ready(model).graph.node}
    assert left == {"Add", "If"}
