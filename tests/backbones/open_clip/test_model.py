"""Towers of open_clip: a walk over the parts equals the forward pass of the model."""

import threading

import open_clip
import pytest
import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.backbones.positions import interpolate_positions
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from tests.backbones.plain_walk import encode_ids, encode_pixels
from tests.towers import assert_same_state, state_of, tiny_open_clip, token_ids

EXACT = {"rtol": 1e-5, "atol": 5e-6}
AVERAGE = {"pool_type": "avg", "ls_init_value": 0.5}
CUSTOM = {
    "qk_norm": True,
    "scale_heads": True,
    "scale_attn_inner": True,
    "scale_attn": True,
    "scale_fc": True,
}
VARIANTS = {
    "plain": {},
    "gelu": {"quick_gelu": False},
    "average pool, layer scale": {"visual": AVERAGE},
    "norm after pool": {"visual": {**AVERAGE, "final_ln_after_pool": True}},
    "no norm before": {"visual": {"no_ln_pre": True}},
    "fixed positions": {"visual": {"pos_embed_type": "sin_cos_2d"}},
    "patch dropout": {"visual": {"patch_dropout": 0.5}},
    "remainder of pixels": {"visual": {"image_size": 35}},
    "rectangle": {"visual": {"image_size": (24, 40)}},
    "normed queries": {"visual": CUSTOM, "text": CUSTOM},
    "scale as vector": {"nonscalar_logit_scale": True},
    "half precision norms": {"cast_dtype": torch.bfloat16},
    "own text": {"custom_text": True, "init_logit_bias": -10.0},
    "text class token": {"custom_text": True, "text": {"embed_cls": True}},
    "attentional pool": {"visual": {"attentional_pool": True, "attn_pooler_queries": 5}},
    "attentional pool, mean": {"visual": {"attentional_pool": True, "pool_type": "avg"}},
    "attentional pool, one width": {
        "embed_dim": 32,
        "visual": {"attentional_pool": True, "attn_pooler_heads": 2},
    },
    "text layer scale": {"text": {"ls_init_value": 0.3}},
    "text projection with bias": {"text": {"proj_bias": True}},
    "no text projection": {"embed_dim": 32, "text": {"proj_type": "none"}},
    "end token by id": {"custom_text": True, "text": {"pool_type": "eos", "eos_id": 49407}},
    "both ways, last": {
        "custom_text": True,
        "text": {"pool_type": "last", "no_causal_mask": True},
    },
    "both ways, first": {"text": {"pool_type": "first", "no_causal_mask": True}},
}


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    return tiny_open_clip(**VARIANTS[request.param])


@torch.no_grad()
def test_walk_equals_encode_image(model):
    backbone = wrap_backbone(model)
    pixels = torch.randn(2, 3, *model.visual.image_size)
    actual = encode_pixels(backbone.tower, pixels)
    torch.testing.assert_close(actual, model.encode_image(pixels), **EXACT)


@torch.no_grad()
def test_walk_equals_encode_text(model):
    ids = token_ids()
    actual = encode_ids(wrap_backbone(model).text_tower, ids)
    torch.testing.assert_close(actual, model.encode_text(ids), **EXACT)


def test_facts_of_the_tower(open_clip_backbone):
    tower, text = open_clip_backbone.tower, open_clip_backbone.text_tower
    assert (tower.prefix_tokens, tower.patch_size, tower.width) == (1, 8, 32)
    assert (len(tower.blocks), len(text.blocks)) == (4, 3)
    assert (text.context_length, text.width, text.causal) == (77, 32, True)
    assert tower.pool_reads == "prefix"
    assert open_clip_backbone.image_size == 32
    assert open_clip_backbone.logit_scale == pytest.approx(1 / 0.07)
    assert tower.blocks[0].attention.scale == 16**-0.5
    assert wrap_backbone(tiny_open_clip(visual=AVERAGE)).tower.pool_reads == "all"


def test_class_pool_is_the_projected_class_token(open_clip_backbone):
    tower = open_clip_backbone.tower
    tokens = torch.randn(2, 17, 32)
    torch.testing.assert_close(tower.pool(tokens), tower.project(tokens)[:, 0])


@pytest.mark.parametrize("custom", [{}, CUSTOM])
@pytest.mark.parametrize("parts", ["q", "k", "v", "qk", "kv", "qv", "qkv"])
def test_single_parts_equal_those_of_qkv(parts, custom):
    attention = wrap_backbone(tiny_open_clip(visual=custom)).tower.blocks[1].attention
    tokens = torch.randn(2, 5, 32)
    whole = dict(zip("qkv", attention.project_in(tokens), strict=True))
    actual = attention.project_in(tokens, parts)
    assert len(actual) == len(parts)
    for part, values in zip(parts, actual, strict=True):
        assert values.shape == (2, 5, 32)
        torch.testing.assert_close(values, whole[part], **EXACT)


def test_adjacent_parts_are_one_matrix_product(open_clip_backbone, monkeypatch):
    calls = []
    real = F.linear
    monkeypatch.setattr(
        "clip_surgery.backbones.projections.F.linear",
        lambda *arguments: calls.append(1) or real(*arguments),
    )
    project_in = open_clip_backbone.tower.blocks[0].attention.project_in
    for parts in ("qkv", "qk", "kv", "v"):
        calls.clear()
        project_in(torch.randn(1, 5, 32), parts)
        assert len(calls) == 1


def test_attention_without_bias():
    model = tiny_open_clip()
    for block in model.visual.transformer.resblocks:
        block.attn.in_proj_bias = None
    pixels = torch.randn(2, 3, 32, 32)
    actual = encode_pixels(wrap_backbone(model).tower, pixels)
    torch.testing.assert_close(actual, model.encode_image(pixels), **EXACT)


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (96, 96), (8, 8), (16, 200)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@torch.no_grad()
def test_other_sizes_equal_a_model_of_that_size(size, mode):
    """Compare with a model built for the size that has the interpolated positions."""
    small = tiny_open_clip()
    grid = PatchGrid(rows=size[0] // 8, columns=size[1] // 8)
    state = small.state_dict()
    state["visual.positional_embedding"] = interpolate_positions(
        state["visual.positional_embedding"],
        native=PatchGrid(rows=4, columns=4),
        grid=grid,
        mode=mode,
    )
    built = tiny_open_clip(visual={"image_size": size})
    built.load_state_dict(state)
    backbone, pixels = wrap_backbone(small, positions=mode), torch.randn(2, 3, *size)
    assert backbone.tower.grid(pixels) == grid
    actual = encode_pixels(backbone.tower, pixels)
    torch.testing.assert_close(actual, built.encode_image(pixels), **EXACT)


def test_small_image_before_and_after_a_larger_one(open_clip_model, open_clip_backbone):
    tower, pixels = open_clip_backbone.tower, torch.randn(1, 3, 32, 32)
    before = encode_pixels(tower, pixels)
    encode_pixels(tower, torch.randn(1, 3, 64, 96))
    assert torch.equal(encode_pixels(tower, pixels), before)
    torch.testing.assert_close(open_clip_model.encode_image(pixels), before, **EXACT)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_not_changed(training):
    model = tiny_open_clip(visual={"patch_dropout": 0.5}).train(training)
    before = state_of(model)
    backbone = wrap_backbone(model)
    with torch.no_grad():
        encode_pixels(backbone.tower, torch.randn(1, 3, 64, 40))
        encode_ids(backbone.text_tower, token_ids())
    backbone.fingerprint()
    assert_same_state(before, state_of(model))


def test_patch_dropout_is_not_applied():
    model = tiny_open_clip(visual={"patch_dropout": 0.5})
    pixels = torch.randn(1, 3, 32, 32)
    expected = model.encode_image(pixels)
    actual = encode_pixels(wrap_backbone(model.train()).tower, pixels)
    torch.testing.assert_close(actual, expected, **EXACT)


def test_gradients_reach_pixels_and_weights():
    model = tiny_open_clip()
    backbone, pixels = wrap_backbone(model), torch.randn(1, 3, 40, 24, requires_grad=True)
    score = encode_pixels(backbone.tower, pixels).sum()
    (score + encode_ids(backbone.text_tower, token_ids()).sum()).backward()
    assert pixels.grad is not None
    missing = [name for name, value in model.named_parameters() if value.grad is None]
    assert missing == ["logit_scale"]


def test_changed_weights_are_used_at_once():
    model, other = tiny_open_clip(0), tiny_open_clip(1)
    backbone, pixels = wrap_backbone(model), torch.randn(1, 3, 48, 24)
    for assign in (False, True):
        model.load_state_dict(other.state_dict(), assign=assign)
        expected = encode_pixels(wrap_backbone(other).tower, pixels)
        assert torch.equal(encode_pixels(backbone.tower, pixels), expected)
        model.load_state_dict(tiny_open_clip(0).state_dict())


@torch.no_grad()
def test_threads_with_different_sizes(open_clip_backbone):
    tower = open_clip_backbone.tower
    inputs = [torch.randn(1, 3, 8 * rows, 8 * (9 - rows)) for rows in range(1, 9)]
    expected = [encode_pixels(tower, pixels) for pixels in inputs]
    actual = {}

    def work(index):
        for _ in range(5):
            actual[index] = encode_pixels(tower, inputs[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(actual[index], expected[index]) for index in range(8))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision(dtype):
    model, pixels, ids = tiny_open_clip(), torch.randn(2, 3, 32, 32), token_ids()
    images, texts = model.encode_image(pixels), model.encode_text(ids)
    backbone = wrap_backbone(model.to(dtype))
    assert backbone.dtype == dtype
    image, text = encode_pixels(backbone.tower, pixels), encode_ids(backbone.text_tower, ids)
    assert image.dtype == text.dtype == dtype
    assert F.cosine_similarity(image.float(), images).min() > 0.999
    assert F.cosine_similarity(text.float(), texts).min() > 0.999
    larger = encode_pixels(backbone.tower, torch.randn(1, 3, 64, 24))
    assert larger.dtype == dtype
    assert larger.isfinite().all()


@torch.no_grad()
def test_mixed_precision_of_open_clip():
    """precision="bf16": projections are half, norms and positions are not."""
    from open_clip.model import convert_weights_to_lp

    model = tiny_open_clip(cast_dtype=torch.bfloat16)
    convert_weights_to_lp(model, dtype=torch.bfloat16)
    backbone, ids = wrap_backbone(model), token_ids()
    pixels = torch.randn(1, 3, 32, 32)
    actual = encode_pixels(backbone.tower, pixels)
    expected = model.encode_image(pixels.bfloat16())
    assert F.cosine_similarity(actual.float(), expected.float()).min() > 0.999
    texts = encode_ids(backbone.text_tower, ids).float()
    assert F.cosine_similarity(texts, model.encode_text(ids).float()).min() > 0.999


def test_text_embedding_can_start_at_a_later_position(open_clip_backbone):
    ids, text = token_ids(), open_clip_backbone.text_tower
    whole = text.embed(ids)
    parts = torch.cat([text.embed(ids[:, :5]), text.embed(ids[:, 5:], start=5)], dim=1)
    assert torch.equal(parts, whole)


def test_end_positions(open_clip_backbone):
    assert open_clip_backbone.text_tower.end_positions(token_ids()).tolist() == [2, 5, 76]


def test_mean_and_standard_deviation_are_those_of_the_model():
    model = tiny_open_clip()
    open_clip.set_model_preprocess_cfg(model, {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.3, 0.4)})
    backbone = wrap_backbone(model)
    assert backbone.image_mean == (0.5, 0.5, 0.5)
    assert backbone.image_std == (0.2, 0.3, 0.4)
    assert wrap_backbone(tiny_open_clip()).image_mean[0] == pytest.approx(0.48145466)


def test_the_fingerprint_depends_on_the_text_side_and_its_settings():
    model = tiny_open_clip()
    first = wrap_backbone(model).fingerprint()
    with torch.no_grad():
        model.visual.proj.add_(1)
    assert wrap_backbone(model).fingerprint() == first
    with torch.no_grad():
        model.token_embedding.weight[5, 5] += 1e-3
    assert wrap_backbone(model).fingerprint() != first
    others = [
        tiny_open_clip(quick_gelu=False),
        tiny_open_clip(text={"heads": 4}),
        tiny_open_clip(text={"pool_type": "last"}),
    ]
    actual = {wrap_backbone(other).fingerprint() for other in others}
    assert len(actual | {first}) == 4


@torch.no_grad()
def test_text_tower_of_transformers():
    """HFTextEncoder is run by open_clip, which masks padding."""
    from open_clip.hf_model import HFTextEncoder
    from transformers import RobertaConfig

    model = tiny_open_clip(custom_text=True)
    config = RobertaConfig(
        vocab_size=49408,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=0,
        max_position_embeddings=90,
    )
    model.text = HFTextEncoder(
        "roberta", 24, config=config, pooler_type="mean_pooler", proj_type="mlp"
    ).eval()
    backbone, ids = wrap_backbone(model), token_ids()
    actual = encode_ids(backbone.text_tower, ids)
    torch.testing.assert_close(actual, model.encode_text(ids), **EXACT)
    assert backbone.text_tower.context_length == 77
    first = backbone.fingerprint()
    model.text.transformer.embeddings.word_embeddings.weight[3, 3] += 1
    assert backbone.fingerprint() != first


# heads, blocks, patch size, width, feed-forward width; heads and width of the text tower
REAL = {
    "ViT-B-32": (12, 12, 32, 768, 3072, 8, 512),
    "ViT-B-16": (12, 12, 16, 768, 3072, 8, 512),
    "ViT-L-14": (16, 24, 14, 1024, 4096, 12, 768),
    "ViT-L-14-336": (16, 24, 14, 1024, 4096, 12, 768),
    "ViT-H-14": (16, 32, 14, 1280, 5120, 16, 1024),
    "ViT-g-14": (16, 40, 14, 1408, 6144, 16, 1024),
}


@pytest.mark.parametrize("arch", REAL)
def test_real_configurations(arch):
    """Built without weights from the configurations of open_clip and of transformers."""
    from transformers import CLIPConfig, CLIPModel

    heads, blocks, patch, width, inner, text_heads, text_width = REAL[arch]
    layers = {"num_hidden_layers": 2}
    config = CLIPConfig(
        vision_config={
            **layers,
            "hidden_size": width,
            "intermediate_size": inner,
            "num_attention_heads": heads,
            "patch_size": patch,
        },
        text_config={**layers, "hidden_size": text_width, "num_attention_heads": text_heads},
    )
    with torch.device("meta"):
        open_clip_model = open_clip.CLIP(**open_clip.get_model_config(arch))
        hugging_face_model = CLIPModel(config)
    for model in (open_clip_model, hugging_face_model):
        model.logit_scale = torch.nn.Parameter(torch.zeros(()))
        backbone = wrap_backbone(model)
        tower, text = backbone.tower, backbone.text_tower
        assert (tower.blocks[0].attention.heads, tower.patch_size) == (heads, patch)
        assert (tower.width, text.blocks[0].attention.heads) == (width, text_heads)
        assert tower.blocks[0].attention.scale == (width // heads) ** -0.5
        assert text.width == text_width
        pixels = torch.empty(1, 3, 2 * patch, 3 * patch, device="meta")
        tokens = tower.blocks[0].add_feed_forward(tower.embed(pixels))
        assert tokens.shape == (1, 7, width)
    assert len(wrap_backbone(open_clip_model).tower.blocks) == blocks
    assert open_clip_model.visual.transformer.resblocks[0].mlp.c_fc.out_features == inner


def without_parts(change):
    model = tiny_open_clip()
    change(model)
    return model


def two_poolers():
    return tiny_open_clip(visual={"attentional_pool": "parallel", "width": 24, "head_width": 12})


def other_block(model):
    model.visual.transformer.resblocks[0].attn = torch.nn.Identity()


def other_visual(model):
    model.visual = torch.nn.Identity()


UNSUPPORTED = {
    "two poolers": (two_poolers, "attn_pool_contrastive"),
    "no pool": (lambda: tiny_open_clip(visual={"pool_type": "none"}), "pool_type 'none'"),
    "another tower": (lambda: without_parts(other_visual), "but got Identity"),
    "text pool": (lambda: tiny_open_clip(text={"pool_type": "none"}), "text tower's pool_type"),
    "oblong patches": (lambda: tiny_open_clip(visual={"patch_size": (8, 16)}), "not square"),
    "scaled cosine": (
        lambda: tiny_open_clip(visual={"scaled_cosine_attn": True}),
        "scaled cosine attention",
    ),
    "other attention": (lambda: without_parts(other_block), "attention Identity"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_unsupported_parts_are_named(case):
    make, message = UNSUPPORTED[case]
    with pytest.raises(UnsupportedModelError, match=message):
        wrap_backbone(make())


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.rand(3, 32, 32), r"pixels \(B, 3, H, W\), but got shape \(3, 32, 32\)"),
        (torch.rand(1, 1, 32, 32), r"got shape \(1, 1, 32, 32\)"),
        (torch.rand(1, 3, 33, 32), "whole patches of 8 px, but got 33 x 32"),
        (torch.rand(1, 3, 0, 32), "got 0 x 32"),
    ],
)
def test_bad_pixels(open_clip_backbone, pixels, message):
    with pytest.raises(InputError, match=message):
        open_clip_backbone.tower.embed(pixels)


def test_bad_settings():
    with pytest.raises(UnknownNameError, match="position mode"):
        wrap_backbone(tiny_open_clip(), positions="nearest")
    with pytest.raises(InputError, match="image_size"):
        wrap_backbone(tiny_open_clip(), image_size=0)
    with pytest.raises(InputError, match="vocabulary of 49408 word pieces, but got 100"):
        wrap_backbone(tiny_open_clip(text={"vocab_size": 100}))
    with pytest.raises(InputError, match="but got object"):
        wrap_backbone(tiny_open_clip(), tokenizer=object())
    with pytest.raises(UnsupportedModelError, match=r"torch.nn.modules.linear.Linear"):
        wrap_backbone(torch.nn.Linear(2, 2))
