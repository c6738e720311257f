"""The split of a cosine, compared with a plain loop."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from clip_surgery.errors import InputError
from clip_surgery.surgery.similarity_split import (
    FeatureParts,
    best_pairs,
    sentence_parts,
    split_similarity,
)


def random_parts(count, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count + 1, 6, generator=generator)
    return FeatureParts(parts=values[1:], rest=values[0])


def test_the_split_written_out():
    query, image = random_parts(3, 0), random_parts(5, 1)
    split = split_similarity(query, image)
    lengths = float(query.total().norm() * image.total().norm())
    total = 0.0
    for q, part in enumerate([*query.parts, query.rest]):
        for p, patch in enumerate([*image.parts, image.rest]):
            expected = sum(a * b for a, b in zip(part.tolist(), patch.tolist(), strict=True))
            expected /= lengths
            total += expected
            if q < 3 and p < 5:
                found = split.pairs[q, p]
            elif q < 3:
                found = split.query_rest[q]
            elif p < 5:
                found = split.image_rest[p]
            else:
                found = split.rest
            assert float(found) == pytest.approx(expected, abs=1e-6)
    cosine = float(cosine_similarity(query.total(), image.total(), dim=0))
    assert split.total() == pytest.approx(cosine, abs=1e-6)
    assert total == pytest.approx(cosine, abs=1e-6)
    scores = float(split.part_scores().sum() + split.image_rest.sum()) + split.rest
    assert scores == pytest.approx(cosine, abs=1e-6)


def test_the_words_and_the_rest_of_a_sentence_add_up():
    directions, feature = torch.randn(4, 6), torch.randn(6)
    torch.testing.assert_close(sentence_parts(directions, feature).total(), feature)


def test_features_of_length_zero_have_no_similarity():
    nothing = FeatureParts(parts=torch.zeros(2, 6), rest=torch.zeros(6))
    split = split_similarity(nothing, random_parts(3, 0))
    assert split.total() == 0
    assert split.pairs.isfinite().all()


def test_features_of_two_widths():
    wide = FeatureParts(parts=torch.zeros(2, 7), rest=torch.zeros(7))
    with pytest.raises(InputError, match="one width, but got 7 and 6"):
        split_similarity(wide, random_parts(3, 0))


def test_best_pairs_are_no_neighbours_of_each_other():
    scores = torch.zeros(9, 9)  # two images of 3 x 3 patches
    scores[0, 0], scores[1, 1], scores[8, 0], scores[2, 8] = 4, 3, 2, 1
    found = best_pairs(scores, query_grid=(3, 3), grid=(3, 3))
    assert found == [(0, 0, 4), (2, 8, 1)]
    assert best_pairs(scores, query_grid=(3, 3), grid=(3, 3), count=1) == [(0, 0, 4)]
    assert best_pairs(-scores - 1, query_grid=(3, 3), grid=(3, 3)) == []
