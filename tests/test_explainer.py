"""The explainer: batches, image sizes, names, errors and warnings."""

import io
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import clip_surgery as cs
from clip_surgery import explainer as explainer_module
from clip_surgery.errors import FewTextsWarning, InputError, UnknownNameError, WeightsError
from clip_surgery.framed_images import batches_of_one_frame
from clip_surgery.framing import FramingRule
from clip_surgery.inputs.images import read_image
from clip_surgery.loading import wrap
from clip_surgery.methods.clip_surgery import ClipSurgery
from tests.towers import tiny_open_clip

TEXTS = ["cat", "bench", "person"]


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(tiny_open_clip(seed=0), templates="photo", cache=False, batch_size=2)


def random_image(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


SIZES = [(48, 64), (64, 48), (48, 64), (100, 33), (48, 64)]


def test_explanations_of_images_of_many_sizes_are_in_order(explainer):
    images = [random_image(*size, seed=index) for index, size in enumerate(SIZES)]
    together = explainer(images, TEXTS)
    assert len(together) == len(SIZES)
    assert together.images == tuple(f"image {index}" for index in range(len(SIZES)))
    for index, (image, size) in enumerate(zip(images, SIZES, strict=True)):
        alone = explainer([image], TEXTS)
        assert together.framings[index].original == size
        torch.testing.assert_close(together.patch_scores[index], alone.patch_scores[0])
        torch.testing.assert_close(together.image_scores[index], alone.image_scores[0])
        torch.testing.assert_close(together[index].similarity[0], alone.similarity[0])


def test_a_single_image_needs_no_list(explainer, tmp_path):
    image = random_image(40, 40)
    image.save(tmp_path / "one.png")
    by_path = explainer(tmp_path / "one.png", TEXTS)
    by_bytes = explainer((tmp_path / "one.png").read_bytes(), TEXTS)
    by_array = explainer(np.asarray(image), TEXTS)
    assert by_path.images == (str(tmp_path / "one.png"),)
    assert torch.equal(by_path.patch_scores[0], by_bytes.patch_scores[0])
    assert torch.equal(by_path.patch_scores[0], by_array.patch_scores[0])


def test_no_image_gives_an_empty_explanation(explainer):
    empty = explainer([], TEXTS)
    assert len(empty) == 0
    assert empty.image_scores.shape == (0, 3)


def test_the_method_is_recorded_and_can_be_changed(explainer):
    changed = explainer.with_method(ClipSurgery(depth=1))
    assert "depth=1" in changed([random_image(32, 32)], TEXTS).method
    assert "depth=4" in explainer([random_image(32, 32)], TEXTS).method  # the model has 4 blocks
    assert changed.backbone is explainer.backbone


def test_a_vocabulary_makes_maps_independent_of_other_texts():
    explainer = cs.wrap(
        tiny_open_clip(seed=0),
        templates="name",
        cache=False,
        method=ClipSurgery(redundancy="vocabulary"),
        vocabulary=["tree", "sky", "car", "dog"],
    )
    image = random_image(32, 48)
    many, alone = explainer([image], TEXTS), explainer([image], TEXTS[1:2])
    torch.testing.assert_close(many.patch_scores[0][1:2], alone.patch_scores[0])


@pytest.mark.parametrize("mode", ["keep ratio", "squash", "letterbox"])
def test_every_framing_gives_maps_of_the_size_of_the_image(mode):
    explainer = cs.wrap(
        tiny_open_clip(seed=0), templates="name", cache=False, framing=FramingRule(mode=mode)
    )
    explanation = explainer([random_image(50, 90)], TEXTS)
    assert cs.heatmaps(explanation)[0].shape == (3, 50, 90)


def test_batches_have_one_frame_size_and_contain_every_image_once(explainer):
    framings = [explainer.frame(read_image(random_image(*size))) for size in SIZES]
    batches = list(batches_of_one_frame(framings, 2))
    assert sorted(index for batch in batches for index in batch) == list(range(len(SIZES)))
    assert all(len(batch) <= 2 for batch in batches)
    assert all(len({framings[index].frame for index in batch}) == 1 for batch in batches)


@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        (["missing.jpg"], TEXTS, "missing.jpg"),
        ([b"no image"], TEXTS, "image 0"),
        ([random_image(8, 8)], [], "at least one"),
        ([random_image(8, 8)], ["cat", "cat"], "cat"),
        ([random_image(8, 8)], ["  "], "number 1"),
        ([random_image(8, 8)], "cat", "cat"),
    ],
)
def test_invalid_input_is_an_error_that_names_it(explainer, images, texts, message):
    with pytest.raises(InputError, match=message):
        explainer(images, texts)


def test_invalid_settings_are_refused(explainer):
    model = explainer.backbone.model
    with pytest.raises(InputError, match="batch_size"):
        cs.wrap(model, batch_size=0)
    with pytest.raises(UnknownNameError, match="clip_surgery"):
        cs.wrap(model, method="clip surgery")
    with pytest.raises(UnknownNameError, match="keep ratio"):
        FramingRule(mode="crop")
    with pytest.raises(InputError, match="size"):
        FramingRule(size=0)


def test_weights_that_are_not_finite_are_refused_with_the_name_of_the_model(hostile_model):
    with torch.no_grad():
        hostile_model.visual.proj[0, 0] = float("nan")
    explainer = wrap(hostile_model, cache=False, templates="name")
    with pytest.raises(WeightsError, match=r"wrapped:CLIP: method clip_surgery gave scores that"):
        explainer(np.zeros((32, 32, 3), dtype=np.uint8), ["dog", "cat", "car"])


@pytest.mark.parametrize(
    ("name", "values"),
    [("image_std", (0.0, 0.0, 0.0)), ("image_mean", (0.1, 0.2)), ("image_std", (1, 1, math.nan))],
)
def test_a_preprocessing_that_gives_nan_is_refused_with_its_name(hostile_model, name, values):
    backbone = wrap(hostile_model).backbone
    with pytest.raises(InputError, match=f"wrapped:CLIP: expected {name}"):
        replace(backbone, **{name: values})


def test_two_texts_are_warned_about_and_three_are_not(hostile_model):
    explainer = wrap(hostile_model, cache=False, templates="name", vocabulary=None)
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    with pytest.warns(FewTextsWarning, match="mirrored maps"):
        explainer(image, ["dog", "cat"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(image, ["dog", "cat", "car"])
        explainer(image, ["dog"])
        explainer.with_method("similarity")(image, ["dog", "cat"])


def test_reference_words_are_encoded_once_per_explainer(hostile_model, monkeypatch):
    explainer = wrap(hostile_model, cache=False, templates="name", vocabulary=["bus", "tree"])
    encoded = []
    encode = explainer_module.encode_texts
    monkeypatch.setattr(
        explainer_module,
        "encode_texts",
        lambda backbone, texts, **settings: (
            encoded.append(tuple(texts)) or encode(backbone, texts, **settings)
        ),
    )
    first, second = explainer.encode(["dog"]), explainer.encode(["cat"])
    assert encoded == [("dog",), ("bus", "tree"), ("cat",)]
    assert torch.equal(first.reference, second.reference)


def test_the_bytes_of_a_file_may_be_a_bytearray(hostile_model):
    content = io.BytesIO()
    Image.new("RGB", (32, 32)).save(content, "PNG")
    explainer = wrap(hostile_model, cache=False, templates="name")
    assert len(explainer(bytearray(content.getvalue()), ["dog"]).images) == 1


@pytest.fixture
def hostile_model():
    """A separate model, because a test changes its weights."""
    return tiny_open_clip()


@pytest.mark.parametrize("method", ["clip_surgery", "gem", "bi_modal", "legrad"])
def test_a_depth_beyond_the_blocks_is_recorded_as_the_number_of_blocks(hostile_model, method):
    explainer = wrap(hostile_model, cache=False, templates="name", method=f"{method}(depth=80)")
    explanation = explainer(np.zeros((32, 32, 3), dtype=np.uint8), ["dog", "cat", "car"])
    assert "depth=4" in explanation.method
    deep = explainer.with_method(f"{method}(depth=4)")
    expected = deep(np.zeros((32, 32, 3), dtype=np.uint8), ["dog", "cat", "car"])
    assert explanation.method == expected.method
