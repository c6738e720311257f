"""timm towers inside open_clip: all pools, stems and blocks, and rotary positions at any size."""

import open_clip
import pytest
import timm
import torch
from timm.layers import AttentionPoolLatent, RotaryEmbeddingCat
from torch import nn

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.backbones.open_clip.catalogue import unsupported_part
from clip_surgery.backbones.positions import interpolate_positions
from clip_surgery.backbones.rotary import Rotary
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.walk import walk
from tests.backbones.plain_walk import encode_pixels
from tests.zoo import tiny_eva, tiny_pe, tiny_timm, tiny_timm_siglip, tiny_vitamin

EXACT = {"rtol": 1e-5, "atol": 5e-6}
TOKEN = {"pool": "token", "proj": None}
KINDS = {
    "EVA-01": lambda **s: tiny_timm("eva_giant_patch14_224", **TOKEN, **s),
    "EVA-02": tiny_eva,
    "EVA-02-E, norms after attention": lambda **s: tiny_timm(
        "eva02_enormous_patch14_clip_224", **TOKEN, **s
    ),
    "PE": tiny_pe,
    "SigLIP": tiny_timm_siglip,
    "MobileCLIP2-L": lambda **s: tiny_timm("vit_large_patch14_clip_224", **TOKEN, **s),
    "mean pool": lambda **s: tiny_timm("vit_medium_patch16_gap_256", pool="avg", **s),
    "mlp projection": lambda **s: tiny_timm(
        "vit_medium_patch16_gap_256", pool="avg", proj="mlp", **s
    ),
    "layer scale": lambda **s: tiny_eva(init_values=0.3, **s),
    "layer scale, ViT": lambda **s: tiny_timm(
        "vit_base_patch16_224", **TOKEN, init_values=0.3, **s
    ),
    "normed queries": lambda **s: tiny_timm("vit_base_patch16_224", **TOKEN, qk_norm=True, **s),
    "registers": lambda **s: tiny_timm(
        "vit_base_patch16_224", **TOKEN, reg_tokens=2, no_embed_class=True, **s
    ),
    "rotary in halves": lambda **s: tiny_eva(rope_rotate_half=True, rope_grid_offset=0.5, **s),
    "dropped paths": lambda **s: tiny_eva(drop_path_rate=0.9, **s),
}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_walk_equals_encode_image(kind):
    model, pixels = KINDS[kind](), torch.randn(2, 3, 32, 32)
    actual = walk(wrap_backbone(model).tower, pixels).image
    torch.testing.assert_close(actual, model.encode_image(pixels), **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_other_sizes_equal_a_model_of_that_size(kind):
    """Compare with a timm model for 64 x 32 px that has the interpolated positions."""
    small, built = KINDS[kind](), KINDS[kind](seed=1, img_size=(64, 32))
    state = small.state_dict()
    name = "visual.trunk.pos_embed"
    if name in state:
        state[name] = interpolate_positions(
            state[name][0],
            native=PatchGrid(rows=4, columns=4),
            grid=PatchGrid(rows=8, columns=4),
            prefix_tokens=state[name].shape[1] - 16,
        )[None]
    built.load_state_dict(state)
    pixels = torch.randn(2, 3, 64, 32)
    tower = wrap_backbone(small).tower
    torch.testing.assert_close(walk(tower, pixels).image, built.encode_image(pixels), **EXACT)
    torch.testing.assert_close(encode_pixels(tower, pixels), built.encode_image(pixels), **EXACT)


@torch.no_grad()
def test_convolutional_stem_of_mobileclip():
    """The width is fixed at 768. In training mode, the batch norms of a stem would be changed."""
    sizes = {"img_size": 64, "patch_size": 1, "embed_dim": 768, "depth": 1}
    model = tiny_timm("vit_base_mci_224", **TOKEN, **sizes)
    tower, pixels = wrap_backbone(model).tower, torch.randn(1, 3, 64, 64)
    assert tower.patch_size == 16
    torch.testing.assert_close(walk(tower, pixels).image, model.encode_image(pixels), **EXACT)
    assert walk(tower, torch.randn(1, 3, 32, 96)).patches.shape == (1, 12, 24)
    with pytest.raises(InputError, match=r"model\.eval\(\)"):
        wrap_backbone(model.train()).tower.embed(pixels)


@pytest.mark.parametrize(
    ("make", "prefix", "reads", "side"),
    [
        (tiny_eva, 1, "prefix", 8),
        (tiny_pe, 1, "all", 8),
        (tiny_timm_siglip, 0, "all", 8),
        (tiny_vitamin, 0, "all", 16),
        (KINDS["registers"], 3, "prefix", 8),
    ],
)
def test_facts(make, prefix, reads, side):
    tower = wrap_backbone(make()).tower
    assert (tower.prefix_tokens, tower.pool_reads, tower.patch_size) == (prefix, reads, side)
    assert (tower.width, tower.attention_pool) == (32, False)


@torch.no_grad()
def test_a_patch_is_projected_like_a_single_token_in_the_head():
    """Decision 0007: the output of the pooling head for an image of one token."""
    for make in (tiny_timm_siglip, tiny_pe):
        model = make()
        trunk, tokens = model.visual.trunk, torch.randn(2, 5, 32)
        single_tokens = trunk.norm(tokens).flatten(0, 1)[:, None]
        expected = model.visual.head(trunk.head(trunk.fc_norm(trunk.attn_pool(single_tokens))))
        actual = wrap_backbone(model).tower.project(tokens)
        torch.testing.assert_close(actual.flatten(0, 1), expected, **EXACT)


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("indexing", ["ij", "xy"])
def test_rotation_equals_that_of_timm(halves, indexing):
    rope = RotaryEmbeddingCat(
        16,
        in_pixels=False,
        feat_shape=[3, 5],
        ref_feat_shape=[7, 4],
        grid_offset=1.0,
        grid_indexing=indexing,
        rotate_half=halves,
    )
    rotary = Rotary(
        width=16,
        temperature=10000.0,
        offset=1.0,
        reference=(7, 4),
        columns_first=indexing == "xy",
        half_pairs=halves,
    )
    grid, tokens = PatchGrid(rows=3, columns=5), torch.randn(2, 17, 2, 16)
    actual = rotary.rotation(grid, prefix_tokens=2, device=torch.device("cpu"))(tokens)
    patches = tokens[:, 2:].transpose(1, 2)
    expected = timm.layers.apply_rot_embed_cat(patches, rope.get_embed(), half=halves)
    torch.testing.assert_close(actual[:, 2:], expected.transpose(1, 2))
    assert torch.equal(actual[:, :2], tokens[:, :2])


def changed(model, change):
    change(model.visual.trunk)
    return model


def pool_with_positions(trunk):
    trunk.attn_pool = AttentionPoolLatent(32, num_heads=2, feat_size=16, pos_embed="abs")


REFUSED = {
    "ConvNeXt": (
        lambda: changed_trunk(nn.Sequential(nn.Identity())),
        "got timm's Sequential",
    ),
    "pool": (lambda: changed(tiny_eva(), lambda t: setattr(t, "global_pool", "max")), "'max'"),
    "positions in the pool": (
        lambda: changed(tiny_timm_siglip(), pool_with_positions),
        "pool with positions",
    ),
    "block": (
        lambda: changed(tiny_eva(), lambda t: t.blocks.append(nn.Identity())),
        "timm's block Identity",
    ),
    "gate": (
        lambda: changed(tiny_eva(), lambda t: setattr(t.blocks[0].attn, "gate", nn.Linear(2, 2))),
        "gated attention",
    ),
    "attention": (
        lambda: changed(tiny_eva(), lambda t: setattr(t.blocks[0], "attn", nn.Identity())),
        "timm's attention Identity",
    ),
    "rotary": (
        lambda: changed(tiny_eva(), lambda t: setattr(t.rope, "in_pixels", True)),
        "rotary positions RotaryEmbeddingCat",
    ),
    "patches": (
        lambda: changed(tiny_eva(), lambda t: setattr(t, "patch_embed", nn.Identity())),
        "timm's patch embedding Identity",
    ),
}


def changed_trunk(trunk):
    model = tiny_eva()
    model.visual.trunk = trunk
    return model


@pytest.mark.parametrize("case", REFUSED)
def test_unsupported_parts_are_named(case):
    make, message = REFUSED[case]
    with pytest.raises(UnsupportedModelError, match=message):
        wrap_backbone(make())


def test_unsupported_configurations():
    refused = {
        name
        for name in open_clip.list_models()
        if unsupported_part(open_clip.get_model_config(name)) is not None
    }
    families = ("convnext", "swin", "MobileCLIP-S", "MobileCLIP2-S", "vit_relpos")
    assert all(name.startswith(families) for name in refused)
    assert len(refused) == 19


REAL = {
    "ViT-B-16-SigLIP": (12, 12, 16, 768, 0),
    "ViT-SO400M-14-SigLIP-384": (16, 27, 14, 1152, 0),
    "EVA02-L-14-336": (16, 24, 14, 1024, 1),
    "PE-Core-B-16": (12, 12, 16, 768, 1),
    "ViTamin-S": (6, 14, 16, 384, 0),
}


@pytest.mark.parametrize("arch", REAL)
def test_real_configurations(arch):
    """Built without weights from the configuration of open_clip."""
    config = open_clip.get_model_config(arch)
    config.pop("custom_text")
    config["text_cfg"]["layers"] = 1
    with torch.device("meta"):
        model = open_clip.CustomTextCLIP(**config)
    model.logit_scale = nn.Parameter(torch.zeros(()))
    tower = wrap_backbone(model, tokenizer=open_clip.SimpleTokenizer(context_length=64)).tower
    actual = (tower.blocks[0].attention.heads, len(tower.blocks), tower.patch_size, tower.width)
    assert (*actual, tower.prefix_tokens) == REAL[arch]
