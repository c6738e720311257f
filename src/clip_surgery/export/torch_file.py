"""Write a traced image tower as a torch file (.pt2), which runs without this library."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from clip_surgery.export.traced_tower import RunTower, one_line_errors


def write_torch(program: ExportedProgram, path: Path) -> None:
    """Write a traced tower to a file that `torch.export.load(path).module()` loads."""
    torch.export.save(program, path)


def open_torch(path: Path) -> RunTower:
    """Return a function that runs a torch file, without gradients.

    The function maps pixels (B, 3, H, W) in [0, 1] to patch features (B, P, D) and image features
    (B, D).

    Raises:
        InputError: if the file cannot be loaded; the function raises it if pixels do not fit.
    """
    with one_line_errors(path, "torch"):
        module = torch.export.load(path).module()

    def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), one_line_errors(path, "torch"):
            patches, image = module(pixels)
        return patches, image

    return run
