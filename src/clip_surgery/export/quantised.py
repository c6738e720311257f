"""Quantise an image tower to int8 with onnxruntime's own quantiser.

Matrix products take nearly all of the time of a tower, and processors with instructions for int8
(VNNI, dot products of Arm) compute them two to four times as fast. Weights are stored as int8 with
one scale for each column.

Without images the scale of activations is computed at run time for each product ("dynamic"). With
images it is fixed beforehand from their largest values ("static", QDQ format), which is faster on
some machines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explainer import Explainer
from clip_surgery.export.onnx_file import INPUTS, quiet
from clip_surgery.export.traced_tower import one_line_errors
from clip_surgery.inputs.images import ImageSource, read_image

Weights = Literal["float32", "int8"]

INT8_TOLERANCE = 0.25
"""Largest accepted difference between an entry of a unit-length feature and that of the model, on
noise, which is harder to quantise than photographs."""


def calibration_pixels(
    explainer: Explainer, images: Sequence[ImageSource]
) -> list[NDArray[np.float32]]:
    """Return images as the input of the exported tower, (1, 3, H, W) in [0, 1] each.

    Raises:
        InputError: if an image cannot be used.
    """
    backbone, pixels = explainer.backbone, []
    mean, std = (
        np.array(values, np.float32).reshape(1, 3, 1, 1)
        for values in (backbone.image_mean, backbone.image_std)
    )
    for source in images:
        normalised = explainer.pixels(read_image(source)).float().cpu().numpy()
        pixels.append((normalised * std + mean).clip(0, 1).astype(np.float32))
    return pixels


def check_weights(weights: str) -> None:
    """Check the name of a type of weights.

    Raises:
        UnknownNameError: if the name is unknown.
    """
    if weights not in get_args(Weights):
        raise UnknownNameError.among("type of weights", weights, get_args(Weights))


def quantise(path: Path, *, images: Sequence[NDArray[np.float32]] = ()) -> None:
    """Replace the float32 matrix products of an ONNX file by int8.

    Args:
        path: an ONNX file with its weights inside, which is replaced.
        images: pixels (1, 3, H, W) in [0, 1] for static quantisation; none for dynamic.

    Raises:
        InputError: if onnxruntime cannot quantise the file.
    """
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        prepared, target = Path(temporary, "prepared.onnx"), Path(temporary, "quantised.onnx")
        with one_line_errors(path, "onnxruntime's quantiser"), quiet():
            # Constants are folded first, because only products with a stored weight are quantised.
            quantization.quant_pre_process(path, prepared, skip_symbolic_shape=True)
            if not images:
                quantization.quantize_dynamic(
                    prepared,
                    target,
                    op_types_to_quantize=["MatMul", "Gemm"],
                    per_channel=True,
                    weight_type=quantization.QuantType.QInt8,
                )
            else:
                quantization.quantize_static(
                    prepared,
                    target,
                    _reader(images),
                    quant_format=quantization.QuantFormat.QDQ,
                    op_types_to_quantize=["MatMul", "Gemm"],
                    nodes_to_exclude=_products_of_activations(prepared),
                    per_channel=True,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                )
        if not target.is_file():
            raise InputError(f"{path}: onnxruntime's quantiser wrote no file.")
        target.replace(path)


def _products_of_activations(path: Path) -> list[str]:
    """Names of the matrix products without a weight, which are those of attention.

    They stay in float32: they are a small part of the work, and their range differs between images.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {weight.name for weight in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "MatMul" and not weights & set(node.input)
    ]


def _reader(images: Sequence[NDArray[np.float32]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.float32]] = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            pixels = next(self.left, None)
            return None if pixels is None else {INPUTS[0]: pixels}

    return Reader()
