"""The attention of segmenters: that of SAM equals transformers' own, and others are refused."""

import numpy as np
import pytest
import torch

from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import read_image
from clip_surgery.segmenters.image_attention import ImageAttention, attention_of_image
from clip_surgery.segmenters.sam import SamSegmenter
from clip_surgery.segmenters.square_frame import SquareFrame
from clip_surgery.testing.tiny_models.segmenters import SameBrightness
from tests.segmenters.test_sam import image, tiny_sam, tiny_sam2
from tests.towers import assert_same_state, state_of


def sam_with_positions(global_blocks=(1,), **changes):
    """A tiny SAM with random relative positions, in float64, that returns its attention."""
    from transformers import SamConfig, SamModel

    config = tiny_sam().config
    sizes = {**config.vision_config.to_dict(), "global_attn_indexes": list(global_blocks)}
    vision = {**sizes, "num_hidden_layers": 3, **changes}
    torch.manual_seed(1)
    model = SamModel._from_config(
        SamConfig(
            vision_config=vision,
            prompt_encoder_config=config.prompt_encoder_config.to_dict(),
            mask_decoder_config=config.mask_decoder_config.to_dict(),
        ),
        attn_implementation="eager",
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "rel_pos" in name or "pos_embed" in name or "qkv" in name:
                weight.normal_(std=0.5)
    return model.eval().double()


@torch.no_grad()
@pytest.mark.parametrize(("size", "block"), [((64, 64), 2), ((32, 64), 1), ((50, 80), 2)])
def test_the_attention_is_that_of_the_last_global_block(size, block):
    model = sam_with_positions(global_blocks=(0, block))
    segmenter = SamSegmenter.wrap(model)
    input_image = image(*size)
    rows, columns = {(64, 64): (8, 8), (32, 64): (4, 8), (50, 80): (5, 8)}[size]
    found = segmenter.image_attention(input_image)
    assert found.grid == PatchGrid(rows=rows, columns=columns)

    content = input_image.image.resize((8 * columns, 8 * rows), 2)
    frame = SquareFrame.of(read_image(np.asarray(content)).size, 64, squash=False)
    square = frame.pixels(read_image(np.asarray(content)))[None].double()
    qkv = []
    handle = model.vision_encoder.layers[block].attn.qkv.register_forward_hook(
        lambda _, __, output: qkv.append(output)
    )
    weights = model.vision_encoder(square, output_attentions=True).attentions[block]
    handle.remove()
    weights = weights.view(2, 8, 8, 8, 8)[:, :rows, :columns, :rows, :columns]
    expected = weights.flatten(3).flatten(1, 2)
    actual = torch.cat([found.weights(slice(0, 7)), found.weights(slice(7, None))], dim=1)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    values = qkv[0].view(8, 8, 3, 2, -1)[:rows, :columns, 2].flatten(0, 1).transpose(0, 1)
    torch.testing.assert_close(found.values, values)


@torch.no_grad()
def test_a_sam_without_relative_positions_in_half_precision_is_not_changed():
    model = sam_with_positions(use_rel_pos=False).bfloat16()
    before = state_of(model)
    found = SamSegmenter.wrap(model).image_attention(image())
    assert found.weights(slice(0, 3)).dtype == torch.float32
    assert found.weights(slice(0, 3)).sum(dim=-1).max() <= 1 + 1e-5
    assert_same_state(before, state_of(model))


def test_an_image_of_one_row_has_one_row_of_cells():
    found = SamSegmenter.wrap(tiny_sam()).image_attention(image(7, 301))
    assert found.grid == PatchGrid(rows=1, columns=8)


class MasksOnly:
    def __call__(self, image, prompts):
        return []


class GivesANumber(MasksOnly):
    def image_attention(self, image):
        return 3


def test_segmenters_without_attention_are_refused():
    with pytest.raises(UnsupportedModelError, match="MasksOnly does not give the attention"):
        attention_of_image(MasksOnly(), image())
    with pytest.raises(UnsupportedModelError, match=r"SAM 2 .* facebook/sam-vit-base"):
        attention_of_image(SamSegmenter.wrap(tiny_sam2()), image())
    with pytest.raises(UnsupportedModelError, match="within windows"):
        attention_of_image(SamSegmenter.wrap(sam_with_positions(())), image())
    with pytest.raises(InputError, match=r"expected an ImageAttention .* but got int"):
        attention_of_image(GivesANumber(), image())


def test_values_of_other_cells_are_refused():
    weights = SameBrightness().image_attention(image(16, 16)).weights
    for shape in ((2, 3, 5), (4, 5), (0, 4, 5)):
        with pytest.raises(InputError, match="grid of 2 x 2 cells"):
            ImageAttention(
                grid=PatchGrid(rows=2, columns=2), values=torch.ones(shape), weights=weights
            )
