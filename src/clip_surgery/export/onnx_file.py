"""A traced image tower as an ONNX file, and running one with onnxruntime."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from clip_surgery.errors import MissingExtraError, UnsupportedModelError
from clip_surgery.export.traced_tower import RunTower, reasons

INPUTS, OUTPUTS = ("pixels",), ("patches", "image")
LARGEST_FILE = 1_500_000_000
"""Bytes of weights over which they lie in a file beside the graph: protobuf ends at 2 GiB."""


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a graph as ONNX; the weights of a large one beside it, as `<name>.data`.

    Raises:
        MissingExtraError: without onnx and onnxscript.
        UnsupportedModelError: when an operation has no counterpart, with torch's reason.
    """
    require_onnx()
    weights = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    try:
        with _quiet():
            converted: Any = torch.onnx.export(
                program,
                dynamo=True,
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                verbose=False,
            )
            converted.save(path, external_data=weights > LARGEST_FILE)
    except OSError:
        raise
    except Exception as error:  # converters raise nearly anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedModelError(
            f"The graph cannot be written as ONNX ({reason[0]}); --to torch may."
        ) from error


def open_onnx(path: Path) -> RunTower:
    """An ONNX file as a function of pixels, run by onnxruntime on the CPU.

    Raises:
        MissingExtraError: without onnxruntime.
        InputError: when the file cannot be run, now or with the pixels given.
    """
    _require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    with reasons(path, "onnxruntime"):
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with reasons(path, "onnxruntime"):
            given = {INPUTS[0]: np.ascontiguousarray(pixels.cpu().numpy())}
            patches, image = session.run(list(OUTPUTS), given)
        return torch.from_numpy(patches), torch.from_numpy(image)

    return run


def require_onnx() -> None:
    """Refuse before any work what would fail at its end.

    Raises:
        MissingExtraError: naming the library that is not installed.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        _require(library)


def _require(library: str) -> None:
    if find_spec(library) is None:
        raise MissingExtraError.of("export", library)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converters say of their own doings, on stdout, in logs and as warnings."""
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
