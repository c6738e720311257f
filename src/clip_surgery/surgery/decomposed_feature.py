"""Contributions of the parts of an image tower to an image feature, and what is read from them.

Letters: L blocks, h heads, N tokens (K prefix tokens, then P patches), d head width, E tower width,
D joint width, G matrices of the pool, C texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid


class PartScores(NamedTuple):
    """What each part adds to the cosine of the image with C texts; their sum is the cosine.

    Attributes:
        embedding: (C,), the tokens before the first block.
        heads: (C, L, h), the heads of each block.
        feed_forward: (C, L), the feed-forward networks.
        pool: (C,), the feed-forward network of an attention pool; 0 for towers without one.
        rest: (C,), all biases of out-projections, norms and projections.
    """

    embedding: Tensor
    heads: Tensor
    feed_forward: Tensor
    pool: Tensor
    rest: Tensor

    def total(self) -> Tensor:
        """Return the sum over all parts (C,), which is the cosine."""
        blocks = self.heads.sum((1, 2)) + self.feed_forward.sum(1)
        return self.embedding + blocks + self.pool + self.rest


class MeanContributions(NamedTuple):
    """Mean contributions over images.

    Attributes:
        heads: (L, h, D).
        feed_forward: (L, D).
    """

    heads: Tensor
    feed_forward: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class DecomposedFeature:
    """The feature of one image as a sum of contributions, all float32.

    Attributes:
        image: the model's own image feature (D,), not normalised.
        embedding: contribution of the tokens before the first block (D,).
        heads: contribution of each head of each block (L, h, D).
        feed_forward: contribution of each block's feed-forward network (L, D).
        pool: contribution of the feed-forward network of an attention pool (D,), which is not
            linear and so cannot be given to other parts; zeros for towers without one.
        rest: all biases of out-projections, norms and projections (D,).
        values: the values of each token in each head (L, h, N, d).
        weights: how much of them is read through each matrix of the pool (L, h, G, N).
        out: the part of each head in the out-projection (L, h, d, E).
        to_joint: the matrices of the pool (G, E, D). The contribution of a token through a head is
            the sum over g of weights[g] * (values @ out @ to_joint[g]).
        grid: rows and columns of the patches.
    """

    image: Tensor
    embedding: Tensor
    heads: Tensor
    feed_forward: Tensor
    pool: Tensor
    rest: Tensor
    values: Tensor
    weights: Tensor
    out: Tensor
    to_joint: Tensor
    grid: PatchGrid

    def total(self) -> Tensor:
        """Return the sum over all parts (D,), which is the image feature."""
        blocks = self.heads.sum((0, 1)) + self.feed_forward.sum(0)
        return self.embedding + blocks + self.pool + self.rest

    def token_contributions(self) -> Tensor:
        """Return what each token adds to the feature through all heads of all blocks (N, D).

        Prefix tokens come first. The difference to `image` is the sum of the other parts.
        """
        read = self.values.new_zeros(*self.weights.shape[2:], self.out.shape[-1])  # (G, N, E)
        for values, weights, out in zip(self.values, self.weights, self.out, strict=True):
            for head_values, head_weights, head_out in zip(values, weights, out, strict=True):
                read += head_weights[..., None] * (head_values @ head_out)
        return torch.einsum("gne,gej->nj", read, self.to_joint)

    def scores(self, texts: Tensor) -> PartScores:
        """Return what each part adds to the cosine of the image with each text.

        Args:
            texts: features of C texts (C, D), of any length.
        """
        directions = self._directions(texts)
        return PartScores(
            embedding=directions @ self.embedding,
            heads=torch.einsum("lhj,cj->clh", self.heads, directions),
            feed_forward=torch.einsum("lj,cj->cl", self.feed_forward, directions),
            pool=directions @ self.pool,
            rest=directions @ self.rest,
        )

    def token_scores(self, texts: Tensor, *, block: int, head: int) -> Tensor:
        """Return what each token adds to the cosine with each text through one head.

        The texts are projected back to the values, so that no tensor (N, D) is needed. The sum over
        tokens is the head's score.

        Args:
            texts: features of C texts (C, D), of any length.
            block: index of the block; negative numbers count from the last one.
            head: index of the head.

        Returns:
            Scores (C, N), prefix tokens first.

        Raises:
            InputError: if there is no such block or head.
        """
        self._check_heads([(block, head)])
        backwards = torch.einsum("cj,gej->cge", self._directions(texts), self.to_joint)
        backwards = backwards @ self.out[block, head].T  # (C, G, d)
        by_matrix = backwards @ self.values[block, head].T  # (C, G, N)
        return (by_matrix * self.weights[block, head]).sum(dim=1)

    def head_maps(self, texts: Tensor, *, block: int, head: int) -> Tensor:
        """Return the patch scores of one head for each text as maps (C, rows, columns).

        Args:
            texts: features of C texts (C, D), of any length.
            block: index of the block; negative numbers count from the last one.
            head: index of the head.

        Raises:
            InputError: if there is no such block or head.
        """
        scores = self.token_scores(texts, block=block, head=head)
        return self.grid.to_map(scores[:, scores.shape[1] - self.grid.patches :])

    def with_means(
        self,
        means: MeanContributions,
        *,
        heads: Iterable[tuple[int, int]] = (),
        feed_forward: Iterable[int] = (),
    ) -> Tensor:
        """Return the image feature (D,) with some contributions replaced by their means.

        This is mean ablation of direct effects: other parts keep the contributions that they have
        in the model, which is not changed.

        Args:
            means: means over images, from `mean_contributions`.
            heads: the heads to replace, as (block, head); negative blocks count from the last one.
            feed_forward: the blocks whose feed-forward network is replaced.

        Raises:
            InputError: if there is no such block or head, or the means are of another tower.
        """
        if means.heads.shape != self.heads.shape:
            raise InputError(
                f"Expected means of heads of shape {tuple(self.heads.shape)}, "
                f"but got {tuple(means.heads.shape)}."
            )
        pairs, blocks = list(heads), list(feed_forward)
        self._check_heads([*pairs, *((block, 0) for block in blocks)])
        count = len(self.heads)
        feature = self.image.clone()
        for block, head in {(block % count, head) for block, head in pairs}:
            feature += means.heads[block, head] - self.heads[block, head]
        for block in {block % count for block in blocks}:
            feature += means.feed_forward[block] - self.feed_forward[block]
        return feature

    def _directions(self, texts: Tensor) -> Tensor:
        """Return unit text features divided by the length of the image feature (C, D)."""
        if texts.ndim != 2 or texts.shape[1] != len(self.image):
            raise InputError(
                f"Expected text features (C, {len(self.image)}), but got {tuple(texts.shape)}."
            )
        unit = normalize(texts.float(), dim=-1).to(self.image.device)
        directions: Tensor = unit / self.image.norm().clamp_min(1e-12)
        return directions

    def _check_heads(self, heads: Sequence[tuple[int, int]]) -> None:
        blocks, count = self.heads.shape[:2]
        for block, head in heads:
            if not -blocks <= block < blocks or not 0 <= head < count:
                raise InputError(
                    f"Expected a block below {blocks} and a head below {count}, "
                    f"but got block {block} and head {head}."
                )


def mean_contributions(features: Iterable[DecomposedFeature]) -> MeanContributions:
    """Return the mean contribution of each head and feed-forward network over images.

    Args:
        features: decomposed features of at least one image; an iterator is read one at a time.

    Raises:
        InputError: if there is no image.
    """
    count, heads, feed_forward = 0, torch.zeros(()), torch.zeros(())
    for feature in features:
        count += 1
        heads, feed_forward = heads + feature.heads, feed_forward + feature.feed_forward
    if not count:
        raise InputError("Expected at least one decomposed feature, but got none.")
    return MeanContributions(heads=heads / count, feed_forward=feed_forward / count)
