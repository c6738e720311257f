"""Tiny random models of the real classes, saved to and loaded from a folder."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnsupportedModelError, WeightsError
from clip_surgery.inputs.images import read_image
from clip_surgery.segmenters.sam import SamSegmenter
from clip_surgery.segmenters.segmenter import Candidates, Prompt
from tests.towers import assert_same_state, state_of, tiny_hugging_face

DECODER = {
    "mlp_dim": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 16,
}


def tiny_sam():
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    encoder = {
        "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 64, "patch_size": 8, "window_size": 2, "global_attn_indexes": [1],
        "num_pos_feats": 8,
    }  # fmt: skip
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4}
    return SamModel(
        SamConfig(
            vision_config=encoder,
            prompt_encoder_config=prompts,
            mask_decoder_config={"hidden_size": 16, **DECODER},
        )
    ).eval()


def tiny_sam2():
    from transformers import Sam2Config, Sam2Model

    torch.manual_seed(0)
    hiera = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
        "image_size": [64, 64], "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 2, 2, 2], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [2, 2],
    }  # fmt: skip
    vision = {
        "backbone_config": hiera, "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32,
    }  # fmt: skip
    prompts = {"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    return Sam2Model(
        Sam2Config(
            vision_config=vision,
            prompt_encoder_config=prompts,
            mask_decoder_config={"hidden_size": 32, **DECODER},
        )
    ).eval()


MODELS = {"sam": tiny_sam, "sam2": tiny_sam2}


@pytest.fixture(scope="module", params=["sam", "sam2"])
def model(request):
    return MODELS[request.param]()


def image(height=50, width=80):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return read_image(pixels)


def prompt(xy=((3, 4), (70, 40)), labels=(1, 0), **parts):
    return Prompt(
        xy=np.array(xy, np.float32).reshape(-1, 2), labels=np.array(labels, np.int64), **parts
    )


NONE = {"xy": (), "labels": ()}
PROMPTS = [
    prompt(),
    prompt(**NONE, box=(1, 2, 30, 40)),
    prompt(box=(1, 2, 30, 40)),
    prompt(logits=torch.linspace(-9, 9, 4000).view(50, 80)),
    prompt(**NONE, logits=torch.linspace(-9, 9, 4000).view(50, 80)),
]


def assert_same_candidates(first, second):
    assert torch.equal(first.masks, second.masks)
    torch.testing.assert_close(first.scores, second.scores)


def test_from_a_folder(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = SamSegmenter.load(tmp_path, device="cpu")
    for loaded_candidates, candidates in zip(
        loaded(image(), PROMPTS), SamSegmenter.wrap(model)(image(), PROMPTS), strict=True
    ):
        assert candidates.masks.shape == (3, 50, 80)
        assert candidates.masks.dtype == torch.bool
        assert_same_candidates(loaded_candidates, candidates)


def test_prompts_are_independent_and_the_model_is_not_changed(model):
    segmenter = SamSegmenter.wrap(model)
    before = state_of(model)
    together = segmenter(image(), PROMPTS)
    for candidates, single_prompt in zip(together, PROMPTS, strict=True):
        assert_same_candidates(candidates, segmenter(image(), [single_prompt])[0])
    assert_same_state(before, state_of(model))
    assert segmenter(image(), []) == []


def test_the_image_is_embedded_once(model, monkeypatch):
    calls = []
    original = type(model).get_image_embeddings

    def counted(self, pixels, **settings):
        calls.append(tuple(pixels.shape))
        return original(self, pixels, **settings)

    monkeypatch.setattr(type(model), "get_image_embeddings", counted)
    SamSegmenter.wrap(model)(image(), PROMPTS)
    assert calls == [(1, 3, 64, 64)]


@pytest.mark.parametrize("size", [(50, 80), (80, 50), (64, 64), (7, 301)])
def test_result_equals_the_processor_of_transformers(model, size):
    """Compare with the same model and the processor of transformers."""
    from transformers import Sam2ImageProcessor, SamImageProcessor

    input_image = image(*size)
    segmenter = SamSegmenter.wrap(model)
    if segmenter.squash:
        processor = Sam2ImageProcessor(
            size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16}
        )
    else:
        processor = SamImageProcessor(
            size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
            mask_size={"longest_edge": 32}, mask_pad_size={"height": 32, "width": 32},
        )  # fmt: skip
    inputs = processor(input_image.image, return_tensors="pt")
    scale = [64 / size[1], 64 / size[0]] if segmenter.squash else [64 / max(size)] * 2
    points_prompt = prompt(xy=((3, 4), (6, 5)))
    with torch.no_grad():
        output = model(
            pixel_values=inputs["pixel_values"],
            input_points=(torch.from_numpy(points_prompt.xy) * torch.tensor(scale))[None, None],
            input_labels=torch.from_numpy(points_prompt.labels)[None, None],
        )
    logits = output.pred_masks[0].float()
    if not segmenter.squash:
        content = [round(side * 64 / max(size)) for side in size]
        logits = F.interpolate(logits, (64, 64), mode="bilinear")[..., : content[0], : content[1]]
    expected = F.interpolate(logits, size, mode="bilinear")[0] > 0
    [actual] = segmenter(input_image, [points_prompt])
    torch.testing.assert_close(actual.scores, output.iou_scores[0, 0], atol=2e-3, rtol=2e-2)
    assert (
        actual.masks == expected
    ).float().mean() > 0.97  # the image is resized in two different ways


def test_hub_names_need_the_network():
    with pytest.raises(
        WeightsError, match=r"^Could not fetch facebook/sam-vit-base: .*offline"
    ) as caught:
        SamSegmenter.load("facebook/sam-vit-base")
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(WeightsError, match=str(tmp_path)):
        SamSegmenter.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UnsupportedModelError, match="'bert'"):
        SamSegmenter.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam"}))
    with pytest.raises(WeightsError, match=str(tmp_path)):
        SamSegmenter.load(tmp_path)


def test_another_model():
    with pytest.raises(UnsupportedModelError, match="CLIPModel"):
        SamSegmenter.wrap(tiny_hugging_face())


def test_prompts_and_candidates_are_checked():
    with pytest.raises(InputError, match="got none"):
        prompt(**NONE)
    with pytest.raises(InputError, match="as many labels"):
        prompt(labels=(1,))
    with pytest.raises(InputError, match="masks"):
        Candidates(masks=torch.zeros(2, 3, 3, dtype=torch.bool), scores=torch.zeros(3))
