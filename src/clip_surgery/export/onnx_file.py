"""Write a traced image tower as an ONNX file, and run such a file with onnxruntime."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from clip_surgery.errors import MissingExtraError, UnsupportedModelError
from clip_surgery.export.traced_tower import RunTower, one_line_errors

INPUTS, OUTPUTS = ("pixels",), ("patches", "image")
MAX_EMBEDDED_BYTES = 1_500_000_000
"""Size of weights up to which they are part of the ONNX file, because protobuf ends at 2 GiB."""


def write_onnx(
    program: ExportedProgram,
    path: Path,
    *,
    inputs: Sequence[str] = INPUTS,
    outputs: Sequence[str] = OUTPUTS,
) -> None:
    """Write a graph as ONNX; large weights are written to a second file `<name>.data`.

    Args:
        program: the traced tower.
        path: the file to write.
        inputs: names of its inputs in the file.
        outputs: names of its outputs in the file.

    Raises:
        MissingExtraError: if onnx, onnxscript or onnxruntime is not installed.
        UnsupportedModelError: if an operation is not available in ONNX; the message has the reason.
    """
    require_onnx()
    weights = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    try:
        with quiet():
            converted: Any = torch.onnx.export(
                program,
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                verbose=False,
            )
            converted.save(path, external_data=weights > MAX_EMBEDDED_BYTES)
    except OSError:
        raise
    except Exception as error:  # converters raise many classes of errors
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedModelError(
            f"The graph cannot be written as ONNX ({reason[0]}); --to torch may."
        ) from error


def open_onnx(path: Path) -> RunTower:
    """Return a function that runs an ONNX file with onnxruntime on the CPU.

    The function maps pixels (B, 3, H, W) in [0, 1] to patch features (B, P, D) and image features
    (B, D).

    Raises:
        MissingExtraError: if onnxruntime is not installed.
        InputError: if the file cannot be loaded; the function raises it if pixels do not fit.
    """
    run = open_outputs(path, OUTPUTS)

    def run_tower(pixels: Tensor) -> tuple[Tensor, Tensor]:
        patches, image = run(pixels)
        return patches, image

    return run_tower


def open_outputs(
    path: Path, outputs: Sequence[str], *, name: str = INPUTS[0], threads: int = 0
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function that runs an ONNX file with one input, and returns the named outputs.

    Args:
        path: the file.
        outputs: names of the outputs.
        name: name of the input.
        threads: number of threads; 0 for one per core.

    Raises:
        MissingExtraError: if onnxruntime is not installed.
        InputError: if the file cannot be loaded; the function raises it if the input does not fit.
    """
    _require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, so that logging them is not needed
    options.intra_op_num_threads = threads
    with one_line_errors(path, "onnxruntime"):
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(value: Tensor) -> tuple[Tensor, ...]:
        with one_line_errors(path, "onnxruntime"):
            inputs = {name: np.ascontiguousarray(value.cpu().numpy())}
            return tuple(map(torch.from_numpy, session.run(list(outputs), inputs)))

    return run


def require_onnx() -> None:
    """Check that the libraries for an export to ONNX are installed, before any work is done.

    Raises:
        MissingExtraError: if one is missing; the message names it.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        _require(library)


def _require(library: str) -> None:
    if find_spec(library) is None:
        raise MissingExtraError.of("export", library)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the messages of the converters on stdout, in logs and as warnings."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
