"""Store the weights of an ONNX file in half precision where this loses nothing.

Many checkpoints (all of OpenAI's) were saved in float16, so that their float32 weights have only
zeros in the last bits. Such a weight is stored as float16 with a Cast to float32, which the runtime
computes once when it loads the file. The file is half as large and its outputs are the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_SMALLEST = 1024
"""Smallest number of values of a weight that is worth a node of the graph."""


def store_exact_halves(path: Path) -> int:
    """Store those float32 weights as float16 that are equal in both types.

    Args:
        path: an ONNX file with its weights inside, which is replaced.

    Returns:
        The number of weights that are now stored as float16.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    graph = model.graph
    casts: list[Any] = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < _SMALLEST:
            continue
        values = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(halves, f"{name}.float16"))
        casts.append(
            onnx.helper.make_node(
                "Cast", [f"{name}.float16"], [name], f"cast.{name}", to=onnx.TensorProto.FLOAT
            )
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    if casts:
        onnx.save(model, path)
    return len(casts)
