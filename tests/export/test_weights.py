"""Weights of ONNX files: exact halves, and int8."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.export import export_bundle
from clip_surgery.export.half_weights import store_exact_halves
from clip_surgery.export.quantised import quantise
from clip_surgery.loading import load

ROWS, WIDTH = 3, 64


def write_product(path, weight):
    """Write pixels (N, 64) @ weight, and the same product squared, as an ONNX file."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["pixels", "weight"], ["product"], "product"),
            helper.make_node("Transpose", ["product"], ["turned"], "turned", perm=[1, 0]),
            helper.make_node("MatMul", ["product", "turned"], ["square"], "square"),
        ],
        "products",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("square", TensorProto.FLOAT, ["n", "n"])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)


def run(path, pixels):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels})[0]


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def pixels(generator):
    return generator.random((ROWS, WIDTH), np.float32)


@pytest.mark.parametrize("exact", [True, False])
def test_only_exact_halves_are_stored_as_halves(tmp_path, generator, pixels, exact):
    weight = generator.standard_normal((WIDTH, WIDTH)).astype(np.float32)
    if exact:
        weight = weight.astype(np.float16).astype(np.float32)
    path = tmp_path / "tower.onnx"
    write_product(path, weight)
    before, size = run(path, pixels), path.stat().st_size
    assert store_exact_halves(path) == int(exact)
    np.testing.assert_array_equal(run(path, pixels), before)
    assert (path.stat().st_size < 0.6 * size) == exact


@pytest.mark.parametrize("images", [0, 8])
def test_int8_changes_a_product_little(tmp_path, generator, pixels, images):
    path = tmp_path / "tower.onnx"
    write_product(path, generator.standard_normal((WIDTH, WIDTH)).astype(np.float32))
    before = run(path, pixels)
    given = [generator.random((ROWS, WIDTH), np.float32) for _ in range(images)]
    quantise(path, images=given)
    np.testing.assert_allclose(run(path, pixels), before, atol=0.05 * np.abs(before).max())
    graph = onnx.load(path).graph
    weights = {weight.name: weight.data_type for weight in graph.initializer}
    assert TensorProto.INT8 in weights.values()
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMul") == (2 if images else 1)  # that of activations is not quantised
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tower.onnx"]


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"weights": "int4"}, UnknownNameError, "Known: float32, int8"),
        ({"weights": "int8", "to": "torch"}, InputError, "float32 for the format torch"),
    ],
)
def test_wrong_types_of_weights_are_refused(tmp_path, settings, error, reason):
    with pytest.raises(error, match=reason):
        export_bundle(load("demo", cache=False), tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "tower.onnx").write_bytes(b"no tower")
    with pytest.raises(InputError, match=r"tower.onnx: onnxruntime's quantiser"):
        quantise(tmp_path / "tower.onnx")
