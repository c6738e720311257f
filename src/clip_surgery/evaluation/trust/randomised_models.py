"""Copies of a model whose image tower is randomised from the top down.

Source: Adebayo et al., "Sanity Checks for Saliency Maps" (arXiv 1810.03292), cascading
randomisation. A map that does not change does not depend on what the model has learnt.

The parameters of a part (the projection, or a block) are those with a gradient of its output, so
that no names of parameters have to be known. Each is redrawn from a normal distribution of its own
mean and standard deviation, which keeps the scale of the tokens. The model itself is only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import run_block
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.surgery.walk import walk


def randomised_models(
    backbone: Backbone, *, shares: Sequence[float] = (0.0, 0.25, 0.5, 1.0), seed: int = 0
) -> dict[str, Backbone]:
    """Return a copy of the model for each stage, by the name of the stage.

    Args:
        backbone: the model; it is not changed.
        shares: share of the blocks that are randomised at each stage, counted from the last; 0
            stands for the projection alone, which is randomised at every stage. Each stage is a
            model in memory.
        seed: seed of the weights.

    Raises:
        UnsupportedModelError: if the image tower of a copy of the model differs from the model's.
    """
    copied = copied_backbone(backbone)
    parameters = list(copied.model.parameters())
    parts = _parameters_of_parts(copied, parameters)  # the projection, then blocks from the top
    generator = torch.Generator().manual_seed(seed)
    done, stages = 0, {}
    for count in sorted({round(share * (len(parts) - 1)) for share in shares}):
        for part in parts[done : count + 1]:
            for index in part:
                redraw(parameters[index], generator)
        done = count + 1
        name = "projection" if count == 0 else f"{count} of {len(parts) - 1} blocks"
        stages[name] = copied_backbone(copied)
    return stages


def copied_backbone(backbone: Backbone) -> Backbone:
    """Return a backbone whose model is a copy, so that it can be changed.

    Raises:
        UnsupportedModelError: if a copy cannot be made, or gives other features.
    """
    model = deepcopy(backbone.model)
    wrapped = wrap_backbone(model, image_size=backbone.image_size, name=backbone.name)
    copied = replace(backbone, tower=wrapped.tower, model=model)
    side = backbone.tower.patch_size * max(2, backbone.image_size // backbone.tower.patch_size)
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    pixels = pixels.to(backbone.device, backbone.dtype)
    with torch.no_grad():
        same = torch.equal(walk(backbone.tower, pixels).image, walk(copied.tower, pixels).image)
    if not same:
        raise UnsupportedModelError(
            f"{backbone.name}: a copy of this model gives other image features, so its "
            "weights cannot be randomised."
        )
    return copied


def redraw(parameter: nn.Parameter, generator: torch.Generator) -> None:
    """Replace a parameter in place by normal numbers of the same mean and standard deviation."""
    with torch.no_grad():
        values = parameter.detach().float().cpu()
        spread = values.std(unbiased=False) if values.numel() > 1 else values.abs().max()
        drawn = torch.randn(values.shape, generator=generator) * spread + values.mean()
        parameter.copy_(drawn.to(parameter.dtype))


def _parameters_of_parts(backbone: Backbone, parameters: Sequence[nn.Parameter]) -> list[list[int]]:
    """Return the indices of the parameters of the projection and of each block from the last."""
    flags = [parameter.requires_grad for parameter in parameters]
    side = backbone.tower.patch_size * 2
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    pixels = pixels.to(backbone.device, backbone.dtype)
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            return _used_parameters(backbone.tower, pixels, parameters)
    finally:
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)


def _used_parameters(
    tower: Tower, pixels: Tensor, parameters: Sequence[nn.Parameter]
) -> list[list[int]]:
    grid = tower.grid(pixels)
    tower = tower.at(grid)
    tokens, parts = tower.embed(pixels).detach(), []
    for block in tower.blocks:
        output = run_block(block, tokens)
        parts.append(_with_gradient(output, parameters))
        tokens = output.detach()
    last = tower.project(tokens).float().sum() + tower.pool(tokens).float().sum()
    top = _with_gradient(last, parameters)
    in_blocks = {index for part in parts for index in part}
    return [[index for index in top if index not in in_blocks], *reversed(parts)]


def _with_gradient(output: Tensor, parameters: Sequence[nn.Parameter]) -> list[int]:
    gradients = torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)
    return [index for index, gradient in enumerate(gradients) if gradient is not None]
