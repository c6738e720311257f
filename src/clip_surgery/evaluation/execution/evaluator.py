"""Measuring: a plan and a model, part after part; the next one is read meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset, Sample
from clip_surgery.evaluation.execution.partial_result import PartialResult
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.evaluation.execution.prefetch import Prefetcher
from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.text.features import TextFeatures
from clip_surgery.windows import explain_windows

AT_A_TIME = 2  # parts in memory: the one that is explained, and the one that is read


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A sample with its image."""

    sample: Sample
    image: InputImage


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Why a sample could not be read."""

    index: int
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """A plan with the model it is carried out on.

    Attributes:
        plan: what is asked of which images.
        explainer: the model with its templates and framing; its own method is not used.
        texts: the plan's texts, encoded.
    """

    plan: Plan
    explainer: Explainer
    texts: TextFeatures

    def parts(
        self, next_number: Callable[[bool], int | None]
    ) -> Iterator[tuple[int, PartialResult]]:
        """Measure parts until there is none, each with its number.

        `next_number(wait)` gives the number of a part to do. None ends the run when asked to
        wait, and means "not yet" otherwise.
        """
        ranges = self.plan.parts()
        numbers: deque[int] = deque()
        with Prefetcher(lambda index: read_sample(self.plan.dataset, index)) as ahead:
            while True:
                while len(numbers) < AT_A_TIME:
                    number = next_number(not numbers)
                    if number is None:
                        break
                    numbers.append(number)
                    ahead.add(ranges[number])
                if not numbers:
                    return
                yield numbers.popleft(), self.measure(ahead.take())

    def measure(self, read: Sequence[Ready | Unreadable]) -> PartialResult:
        """Explain images by every method, and measure."""
        found = self.plan.nothing(self.explainer)
        found.failures = {one.index: one.reason for one in read if isinstance(one, Unreadable)}
        ready = [one for one in read if isinstance(one, Ready)]
        found.images = len(ready)
        if not ready:
            return found
        for row, method in self.plan.methods.items():
            explainer = self.explainer.with_method(method)
            with found.costs[row]:
                explanation = self._explain(explainer, [one.image for one in ready])
            for one, explained in zip(ready, explanation, strict=True):
                case = Case(
                    explanation=explained,
                    sample=one.sample,
                    names=self.plan.names,
                    prompts=self.plan.prompts,
                    background=self.plan.background,
                    explainer=explainer,
                    features=self.texts,
                )
                for metric in found.metrics[row]:
                    metric.update(case)
        return found

    def _explain(self, explainer: Explainer, images: list[InputImage]) -> Explanation:
        windows = self.plan.windows
        if windows is None:
            return explainer.explain_images(images, self.texts)
        return Explanation.join(
            [explain_windows(explainer, one, self.texts, windows=windows) for one in images]
        )


def read_sample(dataset: Dataset, index: int) -> Ready | Unreadable:
    """One sample, or why its image or mask cannot be used."""
    try:
        sample = dataset[index]
        if sample.mask.max() >= len(dataset.names):
            raise InputError(
                f"expected mask values below {len(dataset.names)}, but got {sample.mask.max()}"
            )
        image = read_image(sample.image, name=f"{dataset.name} {index}")
    except (InputError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Unreadable(index=index, reason=f"image {index}: {reason}")
    return Ready(sample=sample, image=image)
