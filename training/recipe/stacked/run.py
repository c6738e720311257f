"""Train M variants together on a store of scenes, and write each as a checkpoint of its own."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP

from recipe import checkpoint
from recipe.checkpoint import Progress
from recipe.config import Config
from recipe.loop import rate
from recipe.measure import retrieval
from recipe.model import build, optimiser
from recipe.stacked.contrast import Contrast
from recipe.stacked.model import Stack
from recipe.stacked.store import SceneStore, vocabulary_of
from recipe.stacked.update import Flags, Prompts, StackedStep, draw_batch

CURVE = 10
"""Points of the curve of plain CLIP's contrast over the training."""
logger = logging.getLogger(__name__)


def train_stacked(
    variants: Mapping[str, Config],
    out: Path,
    store: SceneStore,
    *,
    first: int = 0,
    weights: Mapping[str, CLIP] | None = None,
) -> None:
    """Train the variants and write out/NAME/checkpoint.pt for each of them.

    They share the model's sizes, the schedule and the batch size, which are those of the first.
    The curves of plain CLIP's contrast and opposite share, of retrieval and of the loss go to
    out/curves.json. `first` is the number
    of the first scene, `weights` the models to start from instead of fresh ones.
    """
    configs = list(variants.values())
    base = configs[0]
    vocabulary = vocabulary_of(base.nouns)
    ids = vocabulary.ids
    models = [
        weights[name] if weights else build(config, len(ids)) for name, config in variants.items()
    ]
    stack = Stack(models, compiled=base.compiled != "no")
    flags, prompts = Flags.of(configs), Prompts(base, vocabulary)
    step = StackedStep(stack, flags, base)
    contrast = Contrast(base, vocabulary)
    ends = [prompts.ends.max(), *(texts.ends.max() for texts in store.captions)]
    length = int(max(int(end) for end in ends)) + 1
    length = min(-(-length // 4) * 4, base.model.positions)
    out.mkdir(parents=True, exist_ok=True)
    curves: dict[str, list[list[float]]] = {name: [] for name in variants}
    steps = base.samples // base.batch
    few = round(base.schedule.few_objects_until * len(store))
    losses, since = torch.zeros(len(stack), device=base.device), time.monotonic()
    for number in range(steps):
        share = number / steps
        start = place(first + number * base.batch, len(store), few)
        keep = next(keep for until, keep in base.schedule.keep if share < until)
        batch = draw_batch(store, prompts, flags, base, start, keep, length, draw=number)
        losses += step(batch, rate(base.schedule, share))
        if (number + 1) % max(1, steps // CURVE) == 0:
            mean = losses / max(1, steps // CURVE)
            for row, name in enumerate(variants):
                model = models[0]
                model.load_state_dict(stack.state(row, step.average))
                found = retrieval(model, base, vocabulary)["retrieval"]
                curves[name].append([*contrast(model), found, float(mean[row])])
            (out / "curves.json").write_text(json.dumps(curves), encoding="utf-8")
            logger.info(
                "%d steps, %.0f s, plain mSC %s",
                number + 1,
                time.monotonic() - since,
                np.round([100 * curve[-1][0] for curve in curves.values()], 1).tolist(),
            )
            losses.zero_()
    progress = Progress(steps * base.batch, steps, time.monotonic() - since)
    for row, (name, config) in enumerate(variants.items()):
        model, average = build(config, len(ids)), build(config, len(ids))
        model.load_state_dict(stack.state(row))
        average.load_state_dict(stack.state(row, step.average))
        own = dataclasses.replace(config, device="cpu")
        checkpoint.save(out / name, model, optimiser(model, config), progress, own, ids, average)


def place(number: int, scenes: int, few: int) -> int:
    """Which scene is the given one of a run; after the last, those behind the first few again."""
    return number if number < scenes else few + (number - few) % (scenes - few)
