"""One update of all variants: batches from the store, each variant's loss, AdamW, averages."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recipe.config import Config
from recipe.data import patches_at
from recipe.loop import LARGEST_SCALE
from recipe.loss import also_true, competing, separate
from recipe.stacked.model import Parameters, Stack
from recipe.stacked.store import SceneStore
from recipe.vocabulary import Vocabulary, label_templates


class StackedBatch(NamedTuple):
    """A batch for M variants.

    patches: (2, B, n, K) of the plain and the described version of the scenes. kept: (B, n) or
    None. tokens: (M, B + C, T) of captions and prompts. ends: (M, B + C). present: (B, C) bool.
    also_true: (M, B, B) bool.
    """

    patches: Tensor
    kept: Tensor | None
    tokens: Tensor
    ends: Tensor
    present: Tensor
    also_true: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Flags:
    """The settings in which the variants differ, one entry for each of the M models."""

    described: Tensor
    label_weight: Tensor
    compete: Tensor
    both_ways: Tensor
    true_captions_are_negatives: Tensor
    few_templates: Tensor
    empty_captions: Tensor

    @classmethod
    def of(cls, variants: Sequence[Config]) -> Flags:
        """Read them from the settings of the variants."""
        device = variants[0].device

        def flag(values: list[bool]) -> Tensor:
            return torch.tensor(values, device=device)

        return cls(
            described=flag([v.described_every > 0 for v in variants]),
            label_weight=torch.tensor([v.label_weight for v in variants], device=device),
            compete=flag([v.labels_compete for v in variants]),
            both_ways=flag([v.labels_both_ways for v in variants]),
            true_captions_are_negatives=flag([v.true_captions_are_negatives for v in variants]),
            few_templates=flag([v.label_templates == "few" for v in variants]),
            empty_captions=torch.tensor([v.empty_captions for v in variants], device=device),
        )


class Prompts:
    """The encoded prompts of all labels with all templates, to draw from."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        self.count = len(config.nouns)
        sets = (label_templates("all"), label_templates("few"))
        texts = [template.format(n) for which in sets for template in which for n in config.nouns]
        tokens, ends = vocabulary.encode([*texts, ""], multiple=config.model.positions)
        self.tokens, self.ends = tokens.to(config.device), ends.to(config.device)
        self.empty = len(texts)
        """The row of the empty text."""
        sizes = torch.tensor([len(which) for which in sets], device=config.device)
        self.sizes, self.first = sizes, torch.tensor([0, len(sets[0])], device=config.device)

    def draw(self, few: Tensor, generator: torch.Generator) -> Tensor:
        """Rows (M, C): one random template for each label; few (M,) chooses the set."""
        which = few.long()
        uniform = torch.rand(len(few), self.count, generator=generator, device=few.device)
        template = (uniform * self.sizes[which][:, None]).long() + self.first[which][:, None]
        return template * self.count + torch.arange(self.count, device=few.device)


def draw_batch(
    store: SceneStore,
    prompts: Prompts,
    flags: Flags,
    config: Config,
    start: int,
    keep: float,
    length: int,
    draw: int,
) -> StackedBatch:
    """The batch of scenes start, start + 1, ...; what is random depends on (seed, draw) only.

    length: to how many tokens texts are cut, at least the longest.
    """
    device, count = store.present.device, config.batch
    generator = torch.Generator(device).manual_seed(config.seed * 1_000_003 + draw)
    pixels = store.images(start, count)
    kept = None
    side = config.model.patch_size
    if keep < 1:
        patches = (config.model.image_size // side) ** 2
        order = torch.rand(count, patches, generator=generator, device=device).argsort(1)
        kept = order[:, : round(keep * patches)]
    twice = None if kept is None else kept.repeat(2, 1)
    patches = patches_at(pixels.flatten(0, 1), side, twice).unflatten(0, (2, count))
    plain, described = (texts.rows(start, count) for texts in store.captions)
    version = flags.described.long()
    tokens = torch.stack([plain.tokens, described.tokens])[version]
    ends = torch.stack([plain.ends, described.ends])[version]
    named = torch.stack([plain.named, described.named])[version]
    says_more = torch.stack([plain.says_more, described.says_more])[version]
    draws = torch.rand(count, generator=generator, device=device)
    emptied = draws < flags.empty_captions[:, None]  # (M, B)
    tokens = torch.where(emptied[..., None], prompts.tokens[prompts.empty], tokens)
    ends = torch.where(emptied, prompts.ends[prompts.empty], ends)
    present = store.present[start : start + count]
    rows = prompts.draw(flags.few_templates, generator)
    return StackedBatch(
        patches=patches,
        kept=kept,
        tokens=torch.cat([tokens, prompts.tokens[rows]], dim=1)[..., :length],
        ends=torch.cat([ends, prompts.ends[rows]], dim=1),
        present=present,
        also_true=also_true(named & ~emptied[..., None], says_more & ~emptied, present),
    )


def stacked_loss(
    images: Tensor, texts: Tensor, weights: Parameters, batch: StackedBatch, flags: Flags
) -> Tensor:
    """The loss (M,) of each variant, from unit features (M, B, D) and (M, B + C, D)."""
    scale = weights["logit_scale"].exp()[:, None, None]
    logits = scale * torch.bmm(images.float(), texts.float().transpose(1, 2))
    count = images.shape[1]
    captions = logits[..., :count]
    own = torch.eye(count, dtype=torch.bool, device=images.device)
    masked = batch.also_true & ~own & ~flags.true_captions_are_negatives[:, None, None]
    captions = captions.masked_fill(masked, float("-inf"))
    paired = captions.diagonal(dim1=1, dim2=2)
    caption_loss = -(2 * paired - captions.logsumexp(2) - captions.logsumexp(1)).mean(1) / 2
    labels = logits[..., count:]
    one_way = _one_way(labels, batch.present, flags.compete)
    other = _one_way(labels.transpose(1, 2), batch.present.T, flags.compete)
    label_loss = torch.where(flags.both_ways, (one_way + other) / 2, one_way)
    return caption_loss + flags.label_weight * label_loss


def _one_way(logits: Tensor, present: Tensor, compete: Tensor) -> Tensor:
    return torch.where(compete, competing(logits, present), separate(logits, present))


class StackedStep:
    """One update of the weights of all models."""

    def __init__(self, stack: Stack, flags: Flags, config: Config) -> None:
        self.stack, self.flags, self.config = stack, flags, config
        decayed, rest = stack.groups
        self.optimise = torch.optim.AdamW(
            [
                {"params": [decayed], "weight_decay": config.weight_decay},
                {"params": [rest], "weight_decay": 0.0},
            ],
            lr=0.0,
            betas=config.betas,
            eps=1e-6,
            fused=True,
        )
        self.average = [copy.deepcopy(group.detach()) for group in stack.groups]
        self.steps = 0

    def __call__(self, batch: StackedBatch, rate: float) -> Tensor:
        """Update the weights at this learning rate and return the losses (M,)."""
        for group in self.optimise.param_groups:
            group["lr"] = rate
        losses = self._losses(batch)
        self.optimise.zero_grad(set_to_none=True)
        losses.sum().backward()
        self._clip()
        self.optimise.step()
        self.steps += 1
        with torch.no_grad():
            group, start, _ = self.stack.places["logit_scale"]
            self.stack.groups[group][:, start].clamp_(max=LARGEST_SCALE)
            decay = min(self.config.average_decay, (1 + self.steps) / (10 + self.steps))
            for average, current in zip(self.average, self.stack.groups, strict=True):
                average.lerp_(current, 1 - decay)
        return losses.detach()

    def _losses(self, batch: StackedBatch) -> Tensor:
        weights = self.stack.parameters()
        device = batch.patches.device.type
        patches = batch.patches[self.flags.described.long()]
        with torch.autocast(device, torch.bfloat16, enabled=self.config.half):
            images = self.stack.image_features(weights, patches, batch.kept)
            texts = self.stack.text_features(weights, batch.tokens, batch.ends)
        return stacked_loss(images, texts, weights, batch, self.flags)

    @torch.no_grad()
    def _clip(self) -> None:
        # As clip_grad_norm_, for each model.
        gradients = [group.grad for group in self.stack.groups if group.grad is not None]
        norms = torch.stack([gradient.square().sum(1) for gradient in gradients]).sum(0).sqrt()
        factor = (1 / (norms + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factor[:, None])
