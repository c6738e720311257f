"""The training loop: a schedule over progress, a log of JSON lines, checkpoints to go on from."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from open_clip.model import CLIP
from torch import Tensor

from recipe import checkpoint
from recipe.average import Average
from recipe.checkpoint import Progress
from recipe.config import Config, Schedule
from recipe.data import Batch, SceneSource, Source
from recipe.localisation import localisation
from recipe.loss import caption_loss, label_loss
from recipe.measure import retrieval
from recipe.model import build, optimiser
from recipe.package import load_compact
from recipe.processes import Processes
from recipe.towers import image_features, text_features, through_block
from recipe.vocabulary import Vocabulary
from recipe.words import MORE_WORDS

LARGEST_SCALE = math.log(100)
SHAPES = 32
"""Shapes of tokens for which a block is compiled at most."""
Measure = Callable[[CLIP], dict[str, float]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained on: texts' vocabulary, batches, and what is measured often and seldom."""

    vocabulary: Vocabulary
    source: Source
    often: Measure
    seldom: Measure


def scenes_task(config: Config, processes: Processes | None = None) -> Task:
    """Scenes alone."""
    vocabulary = Vocabulary(config.nouns, MORE_WORDS if config.described_every else ())
    return Task(
        vocabulary=vocabulary,
        source=SceneSource(config, vocabulary, processes),
        often=lambda model: retrieval(model, config, vocabulary),
        seldom=lambda model: localisation(model, config, vocabulary),
    )


def train(
    config: Config,
    out: Path,
    task: Task | None = None,
    call_minutes: float = math.inf,
    weights: Path | None = None,
    processes: Processes | None = None,
) -> Progress:
    """Train from scratch, or from where the checkpoint in `out` stopped, to the schedule's end.

    `call_minutes` ends this call earlier, with a checkpoint to go on from. `weights` is an exported
    file to start from instead of fresh weights. With several `processes`, all call this function,
    and the first one measures and writes.
    """
    processes = processes or Processes()
    task = task or scenes_task(config, processes)
    ids = task.vocabulary.ids
    model = build(config, len(ids))
    if weights:
        load_compact(model, weights, ids, config)
    average = Average(model, config.average_decay)
    optimise = optimiser(model, config)
    progress = checkpoint.resume(out, model, optimise, ids, average.model)
    step = Step(model, optimise, config, processes)
    log = Log(out / "log.jsonl")
    called = saved = processes.of_first(time.monotonic())
    logger.info("from sample %d, %.1f minutes in", progress.samples, progress.seconds / 60)
    while (share := progress.share(config)) < 1:
        began = processes.of_first(time.monotonic())
        if began - called > 60 * call_minutes:
            break
        losses = step(task.source.batch(progress.samples, share), rate(config.schedule, share))
        progress.samples += config.batch
        progress.steps += 1
        average.update(progress.steps)
        log.add(losses, config.batch)
        if processes.first:
            if progress.steps % config.log_steps == 0:
                log.write(progress, share=share, scale=float(model.logit_scale.detach().exp()))
            if progress.steps % config.retrieval_steps == 0:
                log.write(progress, **task.often(average.model))
            if progress.steps % config.localisation_steps == 0:
                log.write(progress, **task.seldom(average.model))
        progress.seconds += processes.of_first(time.monotonic() - began)
        if processes.first and time.monotonic() - saved > 60 * config.checkpoint_minutes:
            checkpoint.save(out, model, optimise, progress, config, ids, average.model)
            saved = time.monotonic()
    if not processes.first:
        return progress
    checkpoint.save(out, model, optimise, progress, config, ids, average.model)
    if progress.share(config) >= 1:
        log.write(progress, **(task.often(average.model) | task.seldom(average.model)))
    return progress


def rate(schedule: Schedule, share: float) -> float:
    """The learning rate at this share of the run: linear warm-up, then half a cosine to zero."""
    if share < schedule.warm_up:
        return schedule.peak_rate * max(share / schedule.warm_up, 0.01)
    turn = (share - schedule.warm_up) / (1 - schedule.warm_up)
    return schedule.peak_rate * (1 + math.cos(math.pi * turn)) / 2


class Step:
    """One update of the weights from one batch."""

    def __init__(
        self,
        model: CLIP,
        optimise: torch.optim.Optimizer,
        config: Config,
        processes: Processes | None = None,
    ) -> None:
        self.model, self.optimise, self.config = model, optimise, config
        self.processes = processes or Processes()
        self.images, self.texts = passes(config)

    def __call__(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Update the weights at this learning rate and return the losses."""
        model, config = self.model, self.config
        for group in self.optimise.param_groups:
            group["lr"] = rate
        with torch.autocast(config.device, torch.bfloat16, enabled=config.half):
            images = self.images(model, batch.patches, batch.kept)
            texts = self.texts(model, batch.tokens, batch.ends)
        count, labels_in_all = batch.present.shape
        prompts = labels_in_all if config.label_weight else 0
        images = self.processes.joined(images.float(), count)
        texts = self.processes.joined(texts.float(), count + prompts)
        logits = model.logit_scale.exp() * images @ texts.T  # (B, B + C)
        masked = None if config.true_captions_are_negatives else batch.also_true
        loss = captions = caption_loss(logits[:, :count], masked)
        losses = {"captions": captions.detach()}
        if config.label_weight:
            labels = label_loss(
                logits[:, count:],
                batch.present,
                compete=config.labels_compete,
                both_ways=config.labels_both_ways,
            )
            losses["labels"] = labels.detach()
            loss = captions + config.label_weight * labels
        self.optimise.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.sum_gradients(model.parameters(), model.logit_scale)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimise.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=LARGEST_SCALE)
        return losses


def passes(config: Config) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The forward passes of images and of texts, fused by torch.compile as the run asks for it."""
    if config.compiled == "no":
        return image_features, text_features
    if config.compiled == "blocks":
        torch._dynamo.config.cache_size_limit = SHAPES
        through = torch.compile(through_block, dynamic=False)
        return partial(image_features, through=through), partial(text_features, through=through)
    whole = (torch.compile(each, dynamic=False) for each in (image_features, text_features))
    return next(whole), next(whole)


class Log:
    """JSON lines: means since the line before, with samples, minutes and images a second."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._sums: dict[str, Tensor] = {}
        self._steps = self._images = 0
        self._since = time.monotonic()

    def add(self, losses: dict[str, Tensor], images: int) -> None:
        """Count one step."""
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._steps += 1
        self._images += images

    def write(self, progress: Progress, **facts: float) -> None:
        """One line."""
        now = time.monotonic()
        line: dict[str, float] = {"samples": progress.samples, "minutes": progress.seconds / 60}
        if self._steps:
            line |= {name: float(total) / self._steps for name, total in self._sums.items()}
            line["images_per_second"] = self._images / (now - self._since)
        line |= facts
        rounded = {name: round(value, 4) for name, value in line.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")
        logger.info("%s", rounded)
        self._sums, self._steps, self._images, self._since = {}, 0, 0, now
