"""A traced image tower as a torch file (.pt2): runs with torch alone, without this library."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from clip_surgery.export.traced_tower import RunTower, reasons


def write_torch(program: ExportedProgram, path: Path) -> None:
    """Write a graph so that `torch.export.load(path).module()` runs it."""
    torch.export.save(program, path)


def open_torch(path: Path) -> RunTower:
    """A torch file as a function of pixels, without gradients.

    Raises:
        InputError: when the file cannot be read, or run with the pixels given.
    """
    with reasons(path, "torch"):
        module = torch.export.load(path).module()

    def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), reasons(path, "torch"):
            patches, image = module(pixels)
        return patches, image

    return run
