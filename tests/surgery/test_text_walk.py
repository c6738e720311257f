import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.surgery.text_walk import text_relevance, walk_text
from clip_surgery.text.prefixes import encode_prompts
from tests.towers import assert_same_state, state_of


def ids_of(tower, text):
    ids = tower.tokenize([text])
    return ids[0], int(tower.end_positions(ids)[0])


@torch.no_grad()
def test_the_end_token_is_the_text_feature(backbone):
    tower = backbone.text_tower
    for text in ("a dog", "two brown dogs on a red bench", ""):
        ids, end = ids_of(tower, text)
        expected = encode_prompts(tower, ids[None, None])[0, 0]
        torch.testing.assert_close(walk_text(tower, ids)[end], expected, atol=1e-5, rtol=1e-4)
        cut = walk_text(tower, ids[: end + 1])
        torch.testing.assert_close(cut, walk_text(tower, ids)[: end + 1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_all_positions_equal_the_models_own(hugging_face_backbone):
    tower, model = hugging_face_backbone.text_tower, hugging_face_backbone.model
    ids, end = ids_of(tower, "a dog on a bench")
    hidden = model.text_model(input_ids=ids[None]).last_hidden_state
    expected = model.text_projection(hidden)[0]
    torch.testing.assert_close(
        walk_text(tower, ids)[: end + 1], expected[: end + 1], atol=1e-5, rtol=1e-4
    )


def naive_relevance(tower, ids, image, end, depth):
    """R = I; R <- R + mean_h ReLU(dy/dA * A) R, with whole matrices, block by block."""
    tokens = tower.embed(ids[None])
    length = len(ids)
    mask = torch.full((length, length), float("-inf")).triu(1)
    attentions = []
    for block in tower.blocks:
        query, key, value = (
            part.reshape(1, length, block.attention.heads, -1).transpose(1, 2)
            for part in block.attention.project_in(block.norm_attention(tokens), "qkv")
        )
        attention = (query @ key.transpose(-1, -2) * block.attention.scale + mask).softmax(-1)
        attentions.append(attention)
        received = (attention @ value).transpose(1, 2).flatten(2)
        tokens = tokens + block.attention.project_out(received)
        tokens = tokens + block.feed_forward(block.norm_feed_forward(tokens))
    score = F.cosine_similarity(tower.project(tokens)[0, end], image, dim=0)
    gradients = torch.autograd.grad(score, attentions)
    relevance = torch.eye(length)
    for attention, gradient in list(zip(attentions, gradients, strict=True))[-depth:]:
        relevance = relevance + (gradient * attention).relu().mean(1)[0] @ relevance
    return relevance[end] - torch.eye(length)[end]


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_relevance_equals_a_loop_over_blocks(backbone, depth):
    tower = backbone.text_tower
    ids, end = ids_of(tower, "a dog on a bench")
    ids, image = ids[: end + 1], torch.randn(24)
    expected = naive_relevance(tower, ids, image, end, depth)
    before = state_of(backbone.model)
    for context in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with context:
            relevance = text_relevance(tower, ids, image, end=end, depth=depth)
        torch.testing.assert_close(relevance, expected, atol=1e-6, rtol=1e-4)
    assert (relevance >= 0).all()
    assert not relevance.requires_grad
    assert_same_state(before, state_of(backbone.model))


@pytest.mark.parametrize(
    "ids", [torch.zeros(0, dtype=torch.int64), torch.zeros(2, 3), torch.zeros(78)]
)
def test_bad_ids(backbone, ids):
    with pytest.raises(InputError, match="token ids"):
        walk_text(backbone.text_tower, ids.long())


def test_bad_depth(backbone):
    ids, end = ids_of(backbone.text_tower, "a dog")
    with pytest.raises(InputError, match="depth"):
        text_relevance(backbone.text_tower, ids, torch.randn(24), end=end, depth=0)
