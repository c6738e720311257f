"""Checkpoints of a run: written whole or not at all, and read back to go on."""

from __future__ import annotations

import dataclasses
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from open_clip.model import CLIP

from clip_surgery.errors import WeightsError
from recipe.config import Config

FILE = "checkpoint.pt"


@dataclass
class Progress:
    """How far a run is: scenes seen (also the place in the stream), steps, seconds spent."""

    samples: int = 0
    steps: int = 0
    seconds: float = 0.0

    def share(self, config: Config) -> float:
        """From 0 to 1: by scenes or by minutes, whichever is further."""
        return min(1.0, max(self.samples / config.samples, self.seconds / 60 / config.minutes))


def save(
    folder: Path,
    model: CLIP,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    config: Config,
    token_ids: list[int],
    average: CLIP | None = None,
) -> None:
    """Write the run's checkpoint; an interruption leaves the one before.

    average: the model of averaged weights, if it is another than the one in training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE}.partial"
    torch.save(
        {
            "model": model.state_dict(),
            "average": (average or model).state_dict(),
            "optimiser": optimiser.state_dict(),
            "progress": dataclasses.asdict(progress),
            "config": dataclasses.asdict(config),
            "token_ids": token_ids,
        },
        partial,
    )
    os.replace(partial, folder / FILE)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's parts.

    Raises:
        WeightsError: the file is missing, cut off or no checkpoint of this training.
    """
    try:
        parts: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"Expected a training checkpoint, but {path} cannot be read: {error}"
        ) from error
    wanted = {"model", "average", "optimiser", "progress", "config", "token_ids"}
    if not isinstance(parts, dict) or not wanted <= set(parts):
        raise WeightsError(f"Expected a training checkpoint, but {path} holds something else")
    return parts


def resume(
    folder: Path,
    model: CLIP,
    optimiser: torch.optim.Optimizer,
    token_ids: list[int],
    average: CLIP | None = None,
) -> Progress:
    """Load the run's checkpoint into model, average and optimiser; fresh progress if there is none.

    Raises:
        WeightsError: the checkpoint is damaged or of another vocabulary or model.
    """
    path = folder / FILE
    if not path.exists():
        return Progress()
    parts = read(path)
    if parts["token_ids"] != token_ids:
        raise WeightsError(f"Expected a checkpoint of this vocabulary, but {path} has another one")
    try:
        model.load_state_dict(parts["model"])
        if average is not None and average is not model:
            average.load_state_dict(parts["average"])
        optimiser.load_state_dict(parts["optimiser"])
    except (RuntimeError, ValueError) as error:
        raise WeightsError(
            f"Expected a checkpoint of this model, but got {path}: {error}"
        ) from error
    return Progress(**parts["progress"])
