"""Data sets and segmenters that break a contract are caught, and the error names the contract."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.evaluation import SceneDataset, Subset
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.grid import PatchGrid
from clip_surgery.segmenters.image_attention import ImageAttention
from clip_surgery.segmenters.segmenter import Candidates
from clip_surgery.testing import check_dataset, check_segmenter


class Colours:
    """A correct data set: each image has one colour, which is its class."""

    name = "colours"
    names = ("red", "green", "blue")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if not -3 <= index < 3:
            raise IndexError(index)
        class_index = index % 3
        image = Image.new("RGB", (6, 4), self.names[class_index])
        mask = np.full((4, 6), class_index, dtype=np.int64)
        return Sample(image=image, mask=mask, present=frozenset({self.names[class_index]}))


class WithoutName(Colours):
    name = ""


class NamesAsOneText(Colours):
    names = "red"


class RepeatedName(Colours):
    names = ("red", "green", "red")


class Empty(Colours):
    def __len__(self):
        return 0


class Endless(Colours):
    def __getitem__(self, index):
        return super().__getitem__(index % 3)


class NoSample(Colours):
    def __getitem__(self, index):
        return super().__getitem__(index).image


class MaskBeyondTheClasses(Colours):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return replace(sample, mask=sample.mask + 1)


class UnknownLabel(Colours):
    def __getitem__(self, index):
        return replace(super().__getitem__(index), present=frozenset({"pink"}))


class AnotherImageEachTime(Colours):
    reads = 0

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        AnotherImageEachTime.reads += 1
        return replace(sample, image=Image.new("RGB", (6, 4), (self.reads % 256, 0, 0)))


class FailsInThreads(Colours):
    def __getitem__(self, index):
        import threading

        if threading.current_thread() is not threading.main_thread():
            raise OSError("the file is not open in this thread")
        return super().__getitem__(index)


class NotPicklable(Colours):
    def __init__(self):
        self.read = lambda: None


class AddressInText(Colours):
    def __repr__(self):
        return f"AddressInText({id(self)})"


@pytest.mark.parametrize(
    ("dataset", "contract", "message"),
    [
        (WithoutName(), "name", "a `name` that is a text, but got ''"),
        (NamesAsOneText(), "class names", "a sequence of texts, but got 'red'"),
        (RepeatedName(), "class names", "repeated red"),
        (Empty(), "length", "at least one sample, but got 0"),
        (Endless(), "length", "IndexError for index 3 of 3"),
        (NoSample(), "samples", "sample 0 to be a Sample, but got Image"),
        (MaskBeyondTheClasses(), "samples", "below the number of classes 3, but got 3"),
        (UnknownLabel(), "samples", "unknown 'pink'"),
        (AnotherImageEachTime(), "repeated reading", "a different image"),
        (FailsInThreads(), "threads", "no error, but got OSError"),
        (NotPicklable(), "pickle", "no error, but got"),
        (AddressInText(), "pickle", "resumed runs compare"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Colours) else "",
)
def test_a_broken_data_set_is_caught(dataset, contract, message):
    with pytest.raises(AssertionError) as caught:
        check_dataset(dataset)
    assert f"breaks the contract '{contract}'" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_correct_data_sets_pass(samples):
    scenes = SceneDataset(seed=3, count=5)
    for dataset in (Colours(), scenes, Subset(scenes, 2)):
        check_dataset(dataset, samples=samples)


class Brightness:
    """A correct segmenter: the bright and the dark half of the image, for every prompt."""

    def __call__(self, image, prompts):
        grey = torch.from_numpy(np.array(image.image.convert("L"))).float()
        masks = torch.stack([grey > grey.mean(), grey <= grey.mean()])
        scores = torch.tensor([0.5, 0.4])
        return [self.change(masks, scores, prompt) for prompt in prompts]

    def change(self, masks, scores, prompt):
        return Candidates(masks=masks, scores=scores)


class OneForAll(Brightness):
    def __call__(self, image, prompts):
        return super().__call__(image, prompts)[:1]


class MasksAsLogits(Brightness):
    def change(self, masks, scores, prompt):
        return Candidates(masks=masks.float(), scores=scores)


class Transposed(Brightness):
    def change(self, masks, scores, prompt):
        return Candidates(masks=masks.transpose(1, 2), scores=scores)


class NanScores(Brightness):
    def change(self, masks, scores, prompt):
        return Candidates(masks=masks, scores=scores * float("nan"))


class NeedsPoints(Brightness):
    def change(self, masks, scores, prompt):
        _ = prompt.xy[0]
        return super().change(masks, scores, prompt)


class NeedsAPrompt(Brightness):
    def __call__(self, image, prompts):
        _ = prompts[0]
        return super().__call__(image, prompts)


class DependsOnTheOthers(Brightness):
    def __call__(self, image, prompts):
        results = super().__call__(image, prompts)
        return [
            replace(candidates, scores=candidates.scores + index)
            for index, candidates in enumerate(results)
        ]


class CountsCalls(Brightness):
    calls = 0

    def __call__(self, image, prompts):
        CountsCalls.calls += 1 if image.size == (80, 50) else 0
        return super().__call__(image, prompts)

    def change(self, masks, scores, prompt):
        return Candidates(masks=masks, scores=scores + CountsCalls.calls)


class DrawsOnTheImage(Brightness):
    def __call__(self, image, prompts):
        results = super().__call__(image, prompts)
        if len(prompts) > 1:
            image.image.putpixel((0, 0), (1, 2, 3))
        return results


class WithModel(Brightness):
    def __init__(self):
        self.model = torch.nn.Linear(2, 2)

    def change(self, masks, scores, prompt):
        self.model.train(not self.model.training)
        return super().change(masks, scores, prompt)


class Attends(Brightness):
    def image_attention(self, image):
        weights = self.weights()
        return ImageAttention(
            grid=PatchGrid(rows=1, columns=2),
            values=torch.ones(1, 2, 3),
            weights=lambda queries: weights[:, queries],
        )

    def weights(self):
        return torch.full((1, 2, 2), 0.5)


class AttendsTooMuch(Attends):
    def weights(self):
        return torch.ones(1, 2, 2)


class AttendsToOneHeadMore(Attends):
    def weights(self):
        return torch.full((2, 2, 2), 0.5)


@pytest.mark.parametrize(
    ("segmenter", "contract", "message"),
    [
        (OneForAll(), "candidates", "each of 5 prompts, but got 1"),
        (MasksAsLogits(), "candidates", "torch.bool, but got torch.float32"),
        (Transposed(), "candidates", "height and width (50, 80), but got (80, 50)"),
        (NanScores(), "candidates", "finite scores"),
        (NeedsPoints(), "candidates", "no error, but got IndexError"),
        (NeedsAPrompt(), "no prompts", "no error, but got IndexError"),
        (DependsOnTheOthers(), "order of prompts", "order of the prompts"),
        (CountsCalls(), "determinism", "after another image in between"),
        (DrawsOnTheImage(), "unchanged", "an unchanged image"),
        (WithModel(), "unchanged", "changes of training modes"),
        (AttendsTooMuch(), "image attention", "2 as largest sum"),
        (AttendsToOneHeadMore(), "image attention", "weights (1, 2, 2), but got (2, 2, 2)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Brightness) else "",
)
def test_a_broken_segmenter_is_caught(segmenter, contract, message):
    with pytest.raises(AssertionError) as caught:
        check_segmenter(segmenter)
    assert f"breaks the contract '{contract}'" in str(caught.value)
    assert message in str(caught.value)


def test_a_correct_segmenter_passes():
    check_segmenter(Brightness())
    check_segmenter(Attends())
