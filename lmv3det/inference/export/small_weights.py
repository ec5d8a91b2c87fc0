"""The weights of an ONNX graph in 16 or 8 bits, widened to float32 when the file is opened.

onnxruntime does the widening once, as it folds constants: pages take the time and memory that they
take with weights in float32, and only weights are rounded.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAST = 256
"""Values from which a weight is worth it."""


def shrink_weights(model: onnx.ModelProto, bits: int) -> None:
    """Store the weights of a graph in fewer bits.

    Args:
        model: changed in place.
        bits: 16 (float16), or 8 (signed integers and a scale for each output channel; vectors,
            such as biases, stay in float32).
    """
    graph = model.graph
    axes = _channel_axes(graph)
    kept, nodes = [], []
    for tensor in graph.initializer:
        weight = numpy_helper.to_array(tensor)
        small = weight.dtype != np.float32 or weight.size < LEAST
        if small or (bits == 8 and weight.ndim < 2):
            kept.append(tensor)
            continue
        name = tensor.name
        if bits == 16:
            limit = np.finfo(np.float16).max
            stored = weight.clip(-limit, limit).astype(np.float16)
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
            kept.append(numpy_helper.from_array(stored, f"{name}.half"))
            continue
        stored, scale = quantize(weight, axes.get(name, 0))
        nodes.append(
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.wide"], to=TensorProto.FLOAT)
        )
        nodes.append(helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
        kept.append(numpy_helper.from_array(stored, f"{name}.int8"))
        kept.append(numpy_helper.from_array(scale, f"{name}.scale"))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)


def quantize(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """A weight as int8 and the float32 scale of each channel, of a shape that multiplies it.

    Args:
        weight: of two or more dimensions.
        axis: of the channels.
    """
    others = tuple(k for k in range(weight.ndim) if k != axis % weight.ndim)
    scale = np.abs(weight).max(axis=others, keepdims=True) / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return np.rint(weight / scale).clip(-127, 127).astype(np.int8), scale


def _channel_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """Weight → the axis of its output channels, where that is not the first."""
    axes = {}
    for node in graph.node:
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        if node.op_type == "MatMul" or (node.op_type == "Gemm" and not turned):
            axes[node.input[1]] = -1
        elif node.op_type == "ConvTranspose":
            axes[node.input[1]] = 1
    return axes
