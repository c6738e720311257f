"""Patches of overlapping windows, joined before or after the last block."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.clearclip import ClearClip
from clip_surgery.methods.free_cp import FreeCp
from clip_surgery.methods.lposs import Lposs
from clip_surgery.methods.naclip import NaClip
from clip_surgery.surgery.last_block import enter_last_block
from clip_surgery.surgery.stitching import stitched_features, stitched_tower
from clip_surgery.surgery.window_layout import WindowLayout
from tests.methods.naive import PATCH, double_backbone, double_model, labels
from tests.zoo import TOWERS

WHOLE, WINDOW = PatchGrid(rows=4, columns=6), PatchGrid(rows=4, columns=4)
CORNERS = ((0, 0), (0, 2))


def layout(**changes):
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(4, 4)
    settings = {"whole": WHOLE, "window": WINDOW, "corners": CORNERS, "weight": weight}
    return WindowLayout(patch_size=PATCH, **{**settings, **changes})


def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, 4 * PATCH, 6 * PATCH, generator=generator, dtype=torch.float64)


def plain_mean(of_windows):
    """Weighted mean (4, 6, E) of two windows (4, 4, E), patch by patch."""
    result = []
    for column in range(6):
        parts = [
            (1.0 + column - left, of_windows[number][:, column - left])
            for number, (_, left) in enumerate(CORNERS)
            if 0 <= column - left < 4
        ]
        total = sum(weight for weight, _ in parts)
        result.append(sum(weight * patches for weight, patches in parts) / total)
    return torch.stack(result, dim=1)


def crops(pixels):
    return [pixels[..., PATCH * left : PATCH * (left + 4)] for _, left in CORNERS]


@pytest.mark.parametrize("batch_size", [1, 8])
@torch.no_grad()
def test_outputs_are_weighted_means(batch_size):
    tower, pixels = double_backbone(double_model()).tower, images()
    method = ClearClip()
    found = stitched_features(
        lambda part: method.features(tower, part), pixels, layout(), batch_size=batch_size
    )
    parts = [method.features(tower, part) for part in crops(pixels)]
    expected = plain_mean([part.patches[0].unflatten(0, (4, 4)) for part in parts])
    torch.testing.assert_close(found.patches[0].unflatten(0, (4, 6)), expected)
    unit = torch.cat([normalize(part.image, dim=-1) for part in parts])
    torch.testing.assert_close(found.image[0], unit.mean(dim=0))
    assert found.grid == WHOLE


@torch.no_grad()
def test_the_last_block_attends_to_the_values_of_all_windows():
    model = double_model()
    tower, pixels = double_backbone(model).tower, images()
    stitched = stitched_tower(tower, pixels, layout(), batch_size=1)
    found = NaClip(std=2.0).features(stitched, pixels)
    block = tower.blocks[-1]
    entered = [enter_last_block(tower, part).tokens for part in crops(pixels)]
    parts = {}
    for name in "qkv":
        projected = [block.attention.project_in(block.norm_attention(t), name)[0] for t in entered]
        maps = plain_mean([p[0, 1:].unflatten(0, (4, 4)) for p in projected])
        prefix = sum(p[0, :1] for p in projected) / 2
        parts[name] = torch.cat([prefix, maps.flatten(0, 1)])
    places = torch.cartesian_prod(torch.arange(4.0), torch.arange(6.0)).double()
    near = torch.exp(-torch.cdist(places, places).square() / (2 * 2.0**2))
    received = []
    for head in range(block.attention.heads):
        width = tower.width // block.attention.heads
        q, k, v = (parts[name][:, head * width : (head + 1) * width] for name in "qkv")
        del q
        logits = block.attention.scale * k[1:] @ k.T
        logits[:, 1:] += near
        received.append(logits.softmax(dim=-1) @ v)
    expected = tower.project(block.attention.project_out(torch.cat(received, dim=-1)[None]))
    torch.testing.assert_close(found.patches, expected)


@pytest.mark.parametrize("name", ["open_clip", "timm_eva", "timm_siglip", "open_clip_resnet"])
@torch.no_grad()
def test_one_window_is_the_method_itself(name):
    tower = wrap_backbone(TOWERS[name](seed=0), name=name).tower
    pixels = torch.randn(1, 3, 2 * tower.patch_size, 3 * tower.patch_size)
    grid = PatchGrid(rows=2, columns=3)
    one = layout(whole=grid, window=grid, corners=((0, 0),), weight=torch.rand(2, 3) + 0.1)
    one = replace(one, patch_size=tower.patch_size)
    for method in (NaClip(), ClearClip()):
        plain = method.features(tower, pixels)
        values = method.features(stitched_tower(tower, pixels, one, batch_size=4), pixels)
        torch.testing.assert_close(values.patches, plain.patches)
        torch.testing.assert_close(values.image, plain.image)
        outputs = stitched_features(
            lambda part, method=method: method.features(tower, part), pixels, one, batch_size=4
        )
        torch.testing.assert_close(outputs.patches, plain.patches)


@torch.no_grad()
def test_the_graph_of_lposs_spans_the_image_and_attention_cannot_be_stitched():
    backbone, pixels, texts = double_backbone(double_model()), images(), labels()
    found = stitched_features(
        lambda part: Lposs().features_for(backbone, part, texts), pixels, layout(), batch_size=2
    )
    assert found.graph.shape[:2] == (1, 24)
    with pytest.raises(InputError, match="logits"):
        stitched_features(
            lambda part: FreeCp().features_for(backbone, part, texts),
            pixels,
            layout(),
            batch_size=2,
        )
