"""The cosine of two features as an exact sum over pairs of their parts.

With unnormalised features f = sum over p of a_p + r and g = sum over q of b_q + t,

    cos(g, f) = (sum over q, p of b_q . a_p + sum over q of b_q . r + sum over p of t . a_p + t . r)
                / (|f| |g|).

The parts of an image are what its patches add to its feature through the heads of all blocks (see
`decomposition`); the rest is everything else: feed-forward networks, prefix tokens, the embedding
and biases. The parts of a sentence are the contributions of its words (see `text.word_directions`);
the rest is the empty sentence, and what words add only together. For towers that are plain means
over patches, the rest is zero, and the pairs are those of Stylianou, Souvenir, Pless, "Visualizing
Deep Similarity Networks" (arXiv 1901.00536).

Letters: Q parts of the query, P patches of the image, D joint width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.surgery.decomposed_feature import DecomposedFeature

_SHORTEST = 1e-12  # length below which a feature has no direction


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureParts:
    """A feature as a sum of n parts and a rest.

    Attributes:
        parts: (n, D).
        rest: (D,).
    """

    parts: Tensor
    rest: Tensor

    def total(self) -> Tensor:
        """Return the feature (D,)."""
        return self.parts.sum(dim=0) + self.rest


@dataclass(frozen=True, kw_only=True, eq=False)
class SimilaritySplit:
    """A cosine as a sum of four terms.

    Attributes:
        pairs: what each pair of a part of the query and a patch of the image adds (Q, P).
        query_rest: what each part of the query adds with the rest of the image (Q,).
        image_rest: what each patch adds with the rest of the query (P,).
        rest: what both rests add.
    """

    pairs: Tensor
    query_rest: Tensor
    image_rest: Tensor
    rest: float

    def patch_scores(self) -> Tensor:
        """Return what each patch adds to the cosine (P,)."""
        return self.pairs.sum(dim=0) + self.image_rest

    def part_scores(self) -> Tensor:
        """Return what each part of the query adds to the cosine (Q,)."""
        return self.pairs.sum(dim=1) + self.query_rest

    def total(self) -> float:
        """Return the sum of all terms, which is the cosine."""
        return float(self.patch_scores().sum() + self.query_rest.sum()) + self.rest


def split_similarity(query: FeatureParts, image: FeatureParts) -> SimilaritySplit:
    """Return the cosine of two features as a sum over pairs of their parts.

    A feature of length zero has cosine 0 with all others, and all terms are 0.

    Args:
        query: parts of the query, Q of them.
        image: parts of the image, P patches.

    Raises:
        InputError: if the features differ in width.

    Example:
        >>> patches = FeatureParts(parts=torch.eye(2), rest=torch.zeros(2))
        >>> split = split_similarity(patches, patches)
        >>> [round(float(score), 3) for score in split.patch_scores()], round(split.total(), 3)
        ([0.5, 0.5], 1.0)
    """
    if query.rest.shape != image.rest.shape:
        raise InputError(
            f"Expected features of one width, but got {len(query.rest)} and {len(image.rest)}."
        )
    lengths = query.total().norm() * image.total().norm()
    scale = 0.0 if lengths < _SHORTEST else 1 / float(lengths)
    return SimilaritySplit(
        pairs=query.parts @ image.parts.T * scale,
        query_rest=query.parts @ image.rest * scale,
        image_rest=image.parts @ query.rest * scale,
        rest=float(query.rest @ image.rest) * scale,
    )


def image_parts(decomposed: DecomposedFeature) -> FeatureParts:
    """Return what each patch adds to an image feature, and the rest."""
    patches = decomposed.token_contributions()[-decomposed.grid.patches :]
    return FeatureParts(parts=patches, rest=decomposed.image - patches.sum(dim=0))


def sentence_parts(directions: Tensor, feature: Tensor) -> FeatureParts:
    """Return what each word adds to the feature of a sentence, and the rest.

    Args:
        directions: what each of W words adds (W, D).
        feature: the feature of the whole sentence (D,).
    """
    return FeatureParts(parts=directions, rest=feature - directions.sum(dim=0))


def best_pairs(
    scores: Tensor, *, query_grid: tuple[int, int], grid: tuple[int, int], count: int = 5
) -> list[tuple[int, int, float]]:
    """Return the pairs of patches that add most, no two of which are neighbours in an image.

    Args:
        scores: what each pair of patches adds (Q, P).
        query_grid: rows and columns of the patches of the query.
        grid: rows and columns of the patches of the image.
        count: maximum number of pairs.

    Returns:
        Patch of the query, patch of the image, and what they add; the highest first. Pairs that add
        nothing are left out.
    """
    remaining = scores.clone().view(*query_grid, *grid)
    pairs: list[tuple[int, int, float]] = []
    for _ in range(count):
        value, index = remaining.flatten().max(dim=0)
        if not float(value) > 0:
            break
        first, second = divmod(int(index), scores.shape[1])
        pairs.append((first, second, float(value)))
        remaining[_near(first, query_grid)] = -torch.inf
        remaining[(..., *_near(second, grid))] = -torch.inf
    return pairs


def _near(patch: int, grid: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of a patch and its neighbours."""
    row, column = divmod(patch, grid[1])
    return slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2)
