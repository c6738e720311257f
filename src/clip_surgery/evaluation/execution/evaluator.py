"""Evaluation of the parts of a plan with one model, in one process.

While a part is explained, the images of the next one are read by other threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset, Sample
from clip_surgery.evaluation.execution.partial_result import PartialResult
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.evaluation.execution.prefetch import Prefetcher
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.text.features import TextFeatures
from clip_surgery.windows import explain_windows

PARTS_IN_MEMORY = 2
"""The part that is explained, and the part that is read meanwhile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadSample:
    """A sample whose image has been decoded."""

    sample: Sample
    image: InputImage


@dataclass(frozen=True, kw_only=True)
class UnreadableSample:
    """A sample that cannot be used, with the reason."""

    index: int
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """A plan together with the model that it is carried out with.

    Attributes:
        plan: which images, methods and metrics are evaluated.
        explainer: the model with its templates and framing. Its own method is not used.
        texts: features of the texts of the plan.
    """

    plan: Plan
    explainer: Explainer
    texts: TextFeatures

    def parts(
        self, next_number: Callable[[bool], int | None]
    ) -> Iterator[tuple[int, PartialResult]]:
        """Evaluate parts until there are none left.

        Args:
            next_number: called as `next_number(wait)`, returns the number of a part to evaluate.
                With `wait=True`, None means that there are no more parts; with `wait=False`, it
                means that no number is available yet.

        Returns:
            An iterator over the number of each part and its result.
        """
        index_ranges = self.plan.parts()
        numbers: deque[int] = deque()
        with Prefetcher(lambda index: read_sample(self.plan.dataset, index)) as prefetcher:
            while True:
                while len(numbers) < PARTS_IN_MEMORY:
                    number = next_number(not numbers)
                    if number is None:
                        break
                    numbers.append(number)
                    prefetcher.add(index_ranges[number])
                if not numbers:
                    return
                yield numbers.popleft(), self.evaluate(prefetcher.take())

    def evaluate(self, samples: Sequence[ReadSample | UnreadableSample]) -> PartialResult:
        """Explain the images of some samples with every method and update the metrics."""
        result = self.plan.empty_result(self.explainer)
        readable = [sample for sample in samples if isinstance(sample, ReadSample)]
        result.images = len(readable)
        result.failures = {
            sample.index: sample.reason
            for sample in samples
            if isinstance(sample, UnreadableSample)
        }
        if not readable:
            return result
        for row, method in self.plan.methods.items():
            explainer = self.explainer.with_method(method)
            with result.costs[row]:
                explanations = self._explain(explainer, [sample.image for sample in readable])
            for sample, explanation in zip(readable, explanations, strict=True):
                evaluated = EvaluatedImage(
                    explanation=explanation,
                    sample=sample.sample,
                    names=self.plan.names,
                    prompts=self.plan.prompts,
                    background=self.plan.background,
                    explainer=explainer,
                    features=self.texts,
                )
                for metric in result.metrics[row]:
                    metric.update(evaluated)
        return result

    def _explain(self, explainer: Explainer, images: list[InputImage]) -> Explanation:
        windows = self.plan.windows
        if windows is None:
            return explainer.explain_images(images, self.texts)
        return Explanation.join(
            [explain_windows(explainer, image, self.texts, windows=windows) for image in images]
        )


def read_sample(dataset: Dataset, index: int) -> ReadSample | UnreadableSample:
    """Return a sample with its decoded image, or the reason why image or mask cannot be used."""
    try:
        sample = dataset[index]
        highest = int(sample.mask.max())
        if highest >= len(dataset.names):
            raise InputError(f"expected mask values below {len(dataset.names)}, but got {highest}")
        image = read_image(sample.image, name=f"{dataset.name} {index}")
    except (InputError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return UnreadableSample(index=index, reason=f"image {index}: {reason}")
    return ReadSample(sample=sample, image=image)
