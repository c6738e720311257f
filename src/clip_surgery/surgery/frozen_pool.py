"""The pool of an image tower as a sum over its last tokens.

With the statistics of norms and the attention of the pool kept at their values for one image, the
feature is

    f = sum over g, r of w[g, r] x_r M_g + feed_forward + rest.

For a class token or a mean over patches there is one matrix M (G = 1), and w says how much of each
token is read. For an attention pool there is one matrix per head of the pool; `feed_forward` is
what the feed-forward network of the pool adds (SigLIP, PE). It is not linear, and stays one term.

Letters: G matrices, N tokens, R learnt queries, E tower width, D joint width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.block import join_heads, split_heads
from clip_surgery.backbones.tower import LatentPool, Tower
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.surgery.frozen_maps import (
    fitted_factors,
    freeze,
    is_close,
    linear_part,
    rounding_tolerance,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenPool:
    """An image feature as a linear map of the last tokens, all float32.

    Attributes:
        weights: w (G, N).
        matrices: M (G, E, D).
        feed_forward: what the feed-forward network of the pool adds (D,); zeros without one.
        rest: all biases of the pool (D,).
        image: the image feature itself (D,).
    """

    weights: Tensor
    matrices: Tensor
    feed_forward: Tensor
    rest: Tensor
    image: Tensor

    def project(self, tokens: Tensor) -> Tensor:
        """Return what a part of the last tokens (N, E) adds to the feature (D,)."""
        summed = self.weights @ tokens.float()  # (G, E)
        return torch.einsum("ge,gej->j", summed, self.matrices)


def freeze_pool(tower: Tower, tokens: Tensor) -> FrozenPool:
    """Return the pool of a tower as a sum over the tokens (1, N, E) after its last block.

    Raises:
        UnsupportedModelError: if the image feature is no such sum.
    """
    image = tower.pool(tokens)[0].float()
    if tower.latent_pool is not None:
        pool = _freeze_latent_pool(tower.latent_pool, tokens, image)
    else:
        pool = _freeze_mean(tower, tokens, image)
    summed = pool.project(tokens[0]) + pool.feed_forward + pool.rest
    if not is_close(summed, image, rounding_tolerance(tokens)):
        raise UnsupportedModelError(
            "The map from the last tokens to the image feature is not a norm and an affine map, so "
            "that the feature is no sum of the contributions of the blocks."
        )
    return pool


def _freeze_mean(tower: Tower, tokens: Tensor, image: Tensor) -> FrozenPool:
    """Return the pool of a class token or of a mean over patches, before or after the norm."""
    prefix, tolerance = tower.prefix_tokens, rounding_tolerance(tokens)
    matrix, bias = linear_part(tower.project, tokens)
    every = tower.project(tokens)[0].float()
    mean = tokens[:, prefix:].mean(dim=1)
    weights = torch.zeros(tokens.shape[1], device=tokens.device)
    patches = tokens.shape[1] - prefix
    if prefix and is_close(every[0], image, tolerance):
        weights[:1] = fitted_factors(tokens[0, :1], every[:1], matrix, bias)
    elif is_close(every[prefix:].mean(dim=0), image, tolerance):
        weights[prefix:] = fitted_factors(tokens[0, prefix:], every[prefix:], matrix, bias)
        weights /= patches
    elif is_close(tower.project(mean[:, None])[0, 0].float(), image, tolerance):
        weights[prefix:] = fitted_factors(mean, image[None], matrix, bias) / patches
    else:
        raise UnsupportedModelError(
            "The image feature of this tower is pooled neither by a class token, nor by the mean "
            "over patches, nor by attention of learnt queries: it is no known sum over tokens."
        )
    return FrozenPool(
        weights=weights[None],
        matrices=matrix[None],
        feed_forward=torch.zeros_like(image),
        rest=bias,
        image=image,
    )


def _freeze_latent_pool(latent: LatentPool, tokens: Tensor, image: Tensor) -> FrozenPool:
    """Return an attention pool with its attention and the statistics of its norms kept."""
    normed = latent.norm(tokens)[:, latent.first_token :]
    queries = latent.queries().to(tokens.dtype)[None]
    query, key = (split_heads(part, latent.heads) for part in (queries, latent.key(normed)))
    logits = query @ key.transpose(-2, -1) / key.shape[-1] ** 0.5
    attention = logits.float().softmax(dim=-1)[0]  # (h, R, n)
    attended = join_heads(
        attention[None].to(tokens.dtype) @ split_heads(latent.value(normed), latent.heads)
    )
    output = latent.project_out(attended)[0]  # (R, E)
    added = torch.zeros_like(output)
    if latent.feed_forward is not None:
        added = latent.feed_forward(output[None])[0]
    # the norms before the values, and after attention, each with an affine map
    value = freeze(lambda rows: latent.value(latent.norm(rows)), tokens[0])
    out = freeze(latent.project_out, attended[0])
    joint = freeze(latent.to_joint, output + added)
    outer = joint.factors / len(output)  # (R,), with the mean over the queries
    inner = outer * out.factors
    matrix = out.matrix @ joint.matrix  # (E, D)
    width = len(matrix) // latent.heads
    by_head = value.matrix.view(-1, latent.heads, width)  # (E, h, d)
    to_joint = matrix.view(latent.heads, width, -1)  # (h, d, D)
    weights = torch.zeros(latent.heads, tokens.shape[1], device=tokens.device)
    weights[:, latent.first_token :] = torch.einsum("r,hrn->hn", inner, attention)
    # the attention of a query adds up to 1, so that biases of values count once per query
    biases = inner.sum() * (value.bias @ matrix) + outer.sum() * (out.bias @ joint.matrix)
    return FrozenPool(
        weights=weights * value.factors,
        matrices=torch.einsum("ehd,hdj->hej", by_head, to_joint),
        feed_forward=outer @ added.float() @ joint.matrix,
        rest=biases + joint.bias,
        image=image,
    )
