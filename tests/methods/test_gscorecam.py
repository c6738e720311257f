"""gScoreCAM against its definition: one image, text and mask at a time through encode_image."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.methods.gscorecam import GScoreCam
from tests.methods.naive import SIDE, assert_same_map, double_backbone, double_model, random_images
from tests.methods.naive import labels as some_labels
from tests.methods.test_grad_cam import naive_weights


def naive_map(model, image, text, channels):
    activations, weights = naive_weights(model, image, text)
    logits, maps = [], []
    for channel in weights.argsort(descending=True)[:channels]:
        values = activations[:, channel]
        maps.append((values - values.min()) / (values.max() - values.min()))
        mask = F.interpolate(
            maps[-1].view(1, 1, SIDE, SIDE), size=image.shape[-2:], mode="bilinear"
        )
        feature = model.encode_image(image[None] * mask)[0]
        logits.append(model.logit_scale.exp() * F.cosine_similarity(feature, text.double(), dim=0))
    return torch.stack(logits).softmax(dim=0) @ torch.stack(maps)


@pytest.mark.parametrize("channels", [1, 5, 300])
@pytest.mark.parametrize("masks_at_a_time", [3, 100])
def test_equals_the_definition(channels, masks_at_a_time):
    model, pixels, texts = double_model(), random_images(), some_labels()
    method = GScoreCam(channels=channels, masks_at_a_time=masks_at_a_time)
    evidence = method(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        for column, text in enumerate(texts.labels):
            assert_same_map(evidence.patches[row, column], naive_map(model, image, text, channels))


def test_no_more_masks_than_masks_at_a_time_run_together():
    model = double_model()
    sizes = []
    hook = model.visual.conv1.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    GScoreCam(masks_at_a_time=5)(double_backbone(model), random_images(), some_labels())
    hook.remove()
    assert max(sizes) == 5


@pytest.mark.parametrize("setting", ["channels", "masks_at_a_time", "texts_at_a_time"])
def test_settings_below_one_are_refused(setting):
    with pytest.raises(InputError, match=f"{setting} of at least 1"):
        GScoreCam(**{setting: 0})
