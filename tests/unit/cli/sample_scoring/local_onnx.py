"""Small ONNX graphs over one feature `a`; some take all memory or hours to load, because constants
are folded then.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def identity() -> bytes:
    return _graph([helper.make_node("Identity", ["a"], ["y"])], [])


def filling_memory(bytes_of_each: int, count: int) -> bytes:
    """Return a graph with constants of this size."""
    names = [f"constant{number}" for number in range(count)]
    nodes = [helper.make_node("ConstantOfShape", ["shape"], [name]) for name in names]
    # Constants of equal shape are folded into one, so each has its own value.
    for number, node in enumerate(nodes):
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [float(number)])
        node.attribute.append(helper.make_attribute("value", value))
    nodes += [
        helper.make_node("Concat", names, ["all"], axis=0),
        helper.make_node("ReduceMax", ["all"], ["largest"], keepdims=0),
        helper.make_node("Add", ["a", "largest"], ["y"]),
    ]
    return _graph(nodes, [_shape(1, bytes_of_each // 4)])


def never_ending() -> bytes:
    """Return a graph whose loading multiplies large matrices for minutes."""
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{number}", f"m{number}"], [f"m{number + 1}"]) for number in range(50)]
    nodes += [helper.make_node("ReduceSum", ["m50"], ["sum"], keepdims=0), helper.make_node("Add", ["a", "sum"], ["y"])]
    return _graph(nodes, [_shape(6_000, 6_000)])


def _shape(*sizes: int) -> Any:
    return numpy_helper.from_array(np.array(sizes, dtype=np.int64), "shape")


def _graph(nodes: Sequence[Any], constants: Sequence[Any]) -> bytes:
    columns = helper.make_tensor_value_info("a", TensorProto.FLOAT, [None, 1])
    outputs = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [columns], [outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return bytes(model.SerializeToString())
