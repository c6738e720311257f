"""Generated scenes: the same from the same seed, masks exact, bad input refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset, Sample
from clip_surgery.evaluation.datasets.scenes import (
    ALL_NOUNS,
    BACKGROUNDS,
    TRAINING_NOUNS,
    SceneDataset,
    composition,
    training_batch,
)
from clip_surgery.evaluation.datasets.scenes.captions import listing, with_article
from clip_surgery.evaluation.datasets.scenes.composition import compose
from clip_surgery.evaluation.datasets.scenes.sprites import atlas
from clip_surgery.evaluation.datasets.scenes.stream import (
    DATASET_STREAM,
    TRAINING_STREAM,
    generator,
)

SEED = 31


@pytest.fixture(scope="module")
def scenes() -> list[Sample]:
    return list(SceneDataset(seed=SEED, count=60))


def test_it_is_a_data_set() -> None:
    dataset = SceneDataset(seed=SEED, count=3)
    assert isinstance(dataset, Dataset)
    assert dataset.names == TRAINING_NOUNS
    assert len(dataset) == 3


def test_the_atlas_images_every_noun_once() -> None:
    assert len(TRAINING_NOUNS) == 64
    assert set(TRAINING_NOUNS) <= set(ALL_NOUNS)
    assert len(set(ALL_NOUNS)) == len(ALL_NOUNS) >= 146
    assert set(atlas()) == set(ALL_NOUNS)
    for sprite in atlas().values():
        assert max(sprite.full.size) <= 72
        assert (np.asarray(sprite.full)[..., 3] > 127).any()


def test_same_seed_and_index_give_the_same_scene_whatever_the_count() -> None:
    few, many = SceneDataset(seed=SEED, count=4), SceneDataset(seed=SEED, count=400)
    for index in (3, 0, 2):
        one, other = few[index], many[index]
        assert one.image.tobytes() == other.image.tobytes()
        assert np.array_equal(one.mask, other.mask)
        assert one.caption == other.caption


def test_the_held_out_scenes_stay_what_they_were() -> None:
    held_out = SceneDataset(seed=2_000_003, count=500)
    assert held_out[0].caption == "a zebra, scissors, a dog and a bee in the mountains"
    assert held_out[2].caption == "an image showing a guitar, a rabbit, a dog and a butterfly."
    assert held_out[2].present == {"butterfly", "cat", "dog", "guitar", "rabbit"}


@pytest.mark.parametrize("change", [{"seed": SEED + 1}, {"size": 112}, {"names": ALL_NOUNS}])
def test_another_seed_size_or_label_set_gives_another_scene(change: dict[str, object]) -> None:
    settings: dict[str, object] = {"seed": SEED, "size": 96, "names": TRAINING_NOUNS}
    here = SceneDataset(count=1, **settings)[0]  # type: ignore[arg-type]
    there = SceneDataset(count=1, **(settings | change))[0]  # type: ignore[arg-type]
    assert here.image.tobytes() != there.image.tobytes()


def test_training_scenes_are_never_evaluation_scenes() -> None:
    assert DATASET_STREAM != TRAINING_STREAM
    batch = training_batch(seed=SEED, start=0, count=40, size=96, names=TRAINING_NOUNS)
    held_out = {sample.image.tobytes() for sample in SceneDataset(seed=SEED, count=40)}
    assert not held_out & {pixels.tobytes() for pixels in batch.pixels}


def test_presence_equals_the_mask(scenes: list[Sample]) -> None:
    for sample in scenes:
        seen = {TRAINING_NOUNS[index] for index in np.unique(sample.mask) if index >= 0}
        assert sample.present == seen
        assert 1 <= len(seen) <= 5


def test_masks_are_the_visible_pixels_of_the_sprites(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[tuple[np.ndarray, tuple[int, int, int, int], int]] = []
    original = composition._paint

    def spy(rng, canvas, mask, drawn, box, index):  # type: ignore[no-untyped-def]
        painted.append((drawn, box, index))
        original(rng, canvas, mask, drawn, box, index)

    monkeypatch.setattr(composition, "_paint", spy)
    for number in range(20):
        painted.clear()
        scene = compose(generator(DATASET_STREAM, SEED, number), 96, TRAINING_NOUNS)
        expected = np.full((96, 96), -1)
        for drawn, (top, left, bottom, right), index in painted:
            for row in range(top, bottom):
                for column in range(left, right):
                    if drawn[row - top, column - left, 3] / 255 > 0.5:
                        expected[row, column] = index
        assert np.array_equal(scene.mask, expected)


def test_overlap_and_size_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    original = composition._place
    found: list[list[tuple[int, int, int, int]]] = []

    def spy(rng, size, height, width, boxes, horizon, airborne):  # type: ignore[no-untyped-def]
        box = original(rng, size, height, width, boxes, horizon, airborne)
        found.append([*boxes, *([box] if box else [])])
        return box

    monkeypatch.setattr(composition, "_place", spy)
    areas = [
        np.mean(sample.mask == index)
        for sample in SceneDataset(seed=5, count=80)
        for index in np.unique(sample.mask)
        if index >= 0
    ]
    assert np.mean(np.array(areas) > 0.02) > 0.9
    assert found
    for boxes in found:
        *earlier, last = boxes or [(0, 0, 1, 1)]
        assert 0 <= last[0] < last[2] <= 96
        assert 0 <= last[1] < last[3] <= 96
        assert all(composition.overlap(last, other) <= 0.2 for other in earlier)


@pytest.mark.parametrize("size", [32, 96, 131, 224])
def test_any_size_and_nouns(size: int) -> None:
    sample = SceneDataset(seed=1, count=1, size=size, names=("camera", "cow"))[0]
    assert sample.image.size == (size, size)
    assert sample.mask.shape == (size, size)
    assert sample.present <= {"camera", "cow"}


def test_every_background_occurs_and_paints_any_size() -> None:
    seen = {
        compose(generator(DATASET_STREAM, 2, index), 32, TRAINING_NOUNS).background
        for index in range(300)
    }
    assert seen == set(BACKGROUNDS)
    assert len(BACKGROUNDS) >= 10


def test_captions_name_only_what_is_there() -> None:
    batch = training_batch(seed=3, start=0, count=200, size=32, names=TRAINING_NOUNS)
    assert not (batch.named & ~batch.present).any()
    for caption, named in zip(batch.captions, batch.named, strict=True):
        for index in named.nonzero()[0]:
            assert TRAINING_NOUNS[index] in caption
        assert 1 <= named.sum() <= 4
    everything = (batch.named == batch.present).all(axis=1).mean()
    assert 0.5 < everything < 0.9


def test_few_objects_when_asked() -> None:
    batch = training_batch(seed=3, start=0, count=50, size=32, names=TRAINING_NOUNS, most_objects=2)
    assert batch.present.sum(axis=1).max() <= 2


def test_a_batch_continues_where_the_last_one_stopped() -> None:
    settings = {"seed": 3, "size": 32, "names": TRAINING_NOUNS}
    whole = training_batch(start=0, count=6, **settings)  # type: ignore[arg-type]
    rest = training_batch(start=4, count=2, **settings)  # type: ignore[arg-type]
    assert np.array_equal(whole.pixels[4:], rest.pixels)
    assert whole.captions[4:] == rest.captions


@pytest.mark.parametrize(
    ("nouns", "said"),
    [
        (["cow"], "a cow"),
        (["owl", "scissors"], "an owl and scissors"),
        (["cow", "owl", "unicorn"], "a cow, an owl and a unicorn"),
    ],
)
def test_listing(nouns: list[str], said: str) -> None:
    assert listing(nouns) == said
    assert with_article("elephant") == "an elephant"


def test_indices_from_the_end_and_out_of_range() -> None:
    dataset = SceneDataset(seed=SEED, count=3)
    assert dataset[-1].caption == dataset[2].caption
    with pytest.raises(IndexError, match="below 3"):
        dataset[3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "`seed`"),
        ({"seed": 1.5}, "`seed`"),
        ({"count": -2}, "`count`"),
        ({"count": True}, "`count`"),
        ({"size": 8}, "`size`"),
        ({"size": 5000}, "`size`"),
        ({"names": ()}, "`names`"),
        ({"names": "cow"}, "`names`"),
        ({"names": ("cow", "cow")}, "more than once"),
        ({"names": ("cow", "dragonfly")}, "dragonfly"),
    ],
)
def test_bad_input_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SceneDataset(**({"seed": 1, "count": 1} | wrong))  # type: ignore[arg-type]


PICTURE = Image.new("RGB", (4, 3))


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (PICTURE.convert("L"), np.zeros((3, 4), np.int64), "RGB"),
        (np.zeros((3, 4, 3)), np.zeros((3, 4), np.int64), "RGB"),
        (PICTURE, np.zeros((3, 4), np.int32), "int64"),
        (PICTURE, [[0]], "int64"),
        (PICTURE, np.zeros((4, 3), np.int64), r"\(3, 4\)"),
        (PICTURE, np.full((3, 4), -3), "-3"),
    ],
)
def test_a_sample_is_checked_when_it_is_created(image: object, mask: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sample(image=image, mask=mask, present=frozenset())  # type: ignore[arg-type]
