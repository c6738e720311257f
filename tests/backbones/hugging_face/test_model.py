"""Towers of transformers equal the forward pass of the model, and those of open_clip."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnsupportedModelError
from tests.backbones.plain_walk import encode_both, encode_ids, encode_pixels
from tests.towers import (
    END,
    assert_same_state,
    clip_tokenizer,
    state_of,
    tiny_hugging_face,
    token_ids,
)

EXACT = {"rtol": 1e-5, "atol": 5e-6}


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request):
    model = tiny_hugging_face()
    model.set_attn_implementation(request.param)
    return model


@torch.no_grad()
def test_walk_equals_get_image_features(model):
    pixels = torch.randn(2, 3, 32, 32)
    actual = encode_pixels(wrap_backbone(model).tower, pixels)
    torch.testing.assert_close(actual, model.get_image_features(pixels).pooler_output, **EXACT)


@pytest.mark.parametrize("end_token", [2, END])
@torch.no_grad()
def test_walk_equals_get_text_features(end_token):
    model, ids = tiny_hugging_face(end_token=end_token), token_ids()
    actual = encode_ids(wrap_backbone(model).text_tower, ids)
    torch.testing.assert_close(actual, model.get_text_features(ids).pooler_output, **EXACT)


def test_end_positions_with_padding_of_end_tokens(hugging_face_backbone):
    """transformers pads with the end token; the first one is pooled, in old and new models."""
    ids = token_ids()
    ids[ids == 0] = END
    for backbone in (hugging_face_backbone, wrap_backbone(tiny_hugging_face(end_token=2))):
        assert backbone.text_tower.end_positions(ids).tolist() == [2, 5, 76]


@torch.no_grad()
def test_results_equal_open_clip_with_the_same_weights(paired_backbones):
    open_clip_backbone, hugging_face_backbone = paired_backbones
    for size in ((32, 32), (32, 64), (72, 40)):
        pixels = torch.randn(2, 3, *size)
        cosines = encode_both(open_clip_backbone, pixels, token_ids())
        torch.testing.assert_close(
            encode_both(hugging_face_backbone, pixels, token_ids()), cosines, **EXACT
        )


@torch.no_grad()
def test_other_sizes_are_close_to_the_bicubic_interpolation_of_transformers(hugging_face_model):
    """For larger sizes, antialiasing makes only a small difference."""
    backbone = wrap_backbone(hugging_face_model, positions="bicubic")
    pixels = torch.randn(2, 3, 64, 64)
    actual = encode_pixels(backbone.tower, pixels)
    output = hugging_face_model.get_image_features(pixels, interpolate_pos_encoding=True)
    assert F.cosine_similarity(actual, output.pooler_output).min() > 0.999


def test_facts_of_the_tower(hugging_face_backbone):
    tower, text = hugging_face_backbone.tower, hugging_face_backbone.text_tower
    assert (tower.prefix_tokens, tower.patch_size, tower.width) == (1, 8, 32)
    assert (len(tower.blocks), len(text.blocks)) == (4, 3)
    assert (text.context_length, text.width, text.causal) == (77, 32, True)
    assert tower.pool_reads == "prefix"
    assert hugging_face_backbone.image_size == 32


@pytest.mark.parametrize("parts", ["q", "v", "kv", "qv"])
def test_single_parts_equal_those_of_qkv(hugging_face_backbone, parts):
    attention = hugging_face_backbone.tower.blocks[1].attention
    tokens = torch.randn(2, 5, 32)
    whole = dict(zip("qkv", attention.project_in(tokens), strict=True))
    actual = attention.project_in(tokens, parts)
    assert all(torch.equal(v, whole[p]) for p, v in zip(parts, actual, strict=True))


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_not_changed(training):
    model = tiny_hugging_face().train(training)
    before = state_of(model)
    backbone = wrap_backbone(model)
    with torch.no_grad():
        encode_pixels(backbone.tower, torch.randn(1, 3, 64, 40))
        encode_ids(backbone.text_tower, token_ids())
    backbone.fingerprint()
    assert_same_state(before, state_of(model))


def test_small_image_before_and_after_a_larger_one(hugging_face_backbone):
    tower, pixels = hugging_face_backbone.tower, torch.randn(1, 3, 32, 32)
    before = encode_pixels(tower, pixels)
    encode_pixels(tower, torch.randn(1, 3, 64, 96))
    assert torch.equal(encode_pixels(tower, pixels), before)


def test_gradients_reach_pixels_and_weights():
    model = tiny_hugging_face()
    backbone, pixels = wrap_backbone(model), torch.randn(1, 3, 40, 24, requires_grad=True)
    score = encode_pixels(backbone.tower, pixels).sum()
    (score + encode_ids(backbone.text_tower, token_ids()).sum()).backward()
    assert pixels.grad is not None
    missing = [name for name, value in model.named_parameters() if value.grad is None]
    assert missing == ["logit_scale"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision(dtype):
    model, pixels = tiny_hugging_face(), torch.randn(2, 3, 32, 32)
    expected = model.get_image_features(pixels).pooler_output
    actual = encode_pixels(wrap_backbone(model.to(dtype)).tower, pixels)
    assert actual.dtype == dtype
    assert F.cosine_similarity(actual.float(), expected).min() > 0.999


def test_the_fingerprint_depends_on_the_text_side_only():
    model = tiny_hugging_face()
    first = wrap_backbone(model).fingerprint()
    with torch.no_grad():
        model.visual_projection.weight.add_(1)
    assert wrap_backbone(model).fingerprint() == first
    with torch.no_grad():
        model.text_projection.weight[0, 0] += 1e-3
    assert wrap_backbone(model).fingerprint() != first


def test_tokenizers_of_transformers(hugging_face_model):
    with_tokenizer = wrap_backbone(hugging_face_model, tokenizer=clip_tokenizer()).text_tower
    default = wrap_backbone(hugging_face_model).text_tower
    texts = ["a photo of a cat.", "Two DOGS, 3 cats"]
    actual, expected = with_tokenizer.tokenize(texts), default.tokenize(texts)
    ends = default.end_positions(expected)
    assert torch.equal(with_tokenizer.end_positions(actual), ends)
    for row, other, end in zip(actual, expected, ends, strict=True):
        assert torch.equal(row[: end + 1], other[: end + 1])  # padding differs after the end token


def test_unsupported_parts_are_named(hugging_face_model):
    with pytest.raises(UnsupportedModelError, match="got CLIPTextModel"):
        wrap_backbone(hugging_face_model.text_model)
    with pytest.raises(InputError, match="tokenizer"):
        wrap_backbone(hugging_face_model, tokenizer="openai/clip-vit-base-patch16")
