import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.search import image_features, query_feature, rank_images


def test_images_are_ranked_by_cosine():
    features, query = torch.randn(20, 6), torch.randn(6)
    cosines = cosine_similarity(features, query[None])
    hits = rank_images(query * 3, features, top=20)
    assert [hit.position for hit in hits] == cosines.argsort(descending=True).tolist()
    for hit in hits:
        assert hit.similarity == pytest.approx(float(cosines[hit.position]), abs=1e-6)
    assert rank_images(query, features, top=2) == rank_images(query, features, top=20)[:2]


def test_equal_images_keep_their_order_and_zeros_have_no_similarity():
    hits = rank_images(torch.ones(2), torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    assert [hit.position for hit in hits] == [1, 2, 0]
    assert hits[-1].similarity == 0


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ((torch.ones(2), torch.ones(3, 4)), "a query"),
        ((torch.ones(2), torch.full((3, 2), torch.nan)), "finite"),
    ],
)
def test_bad_features(call, reason):
    with pytest.raises(InputError, match=reason):
        rank_images(*call)


def test_features_of_images_of_several_sizes_are_the_models_own(backbone):
    explainer = cs.wrap(backbone.model, cache=False, batch_size=2)
    rng = np.random.default_rng(0)
    sizes = [(40, 56), (32, 32), (40, 56), (64, 32)]
    images = [cs.read_image(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    features = image_features(explainer, images)
    for image, feature in zip(images, features, strict=True):
        with torch.no_grad():
            expected = walk(backbone.tower, explainer.pixels(image)).image[0]
        torch.testing.assert_close(feature, expected, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="empty"):
        query_feature(explainer, " ")
