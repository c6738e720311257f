"""A check of trust as a metric of evaluations."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import torch

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean
from clip_surgery.evaluation.trust.case import ABSENT, Case, MethodOnCase, gibberish
from clip_surgery.evaluation.trust.checks import CHECKS, Checked
from clip_surgery.evaluation.trust.perturbation import RandomSets
from clip_surgery.evaluation.trust.randomised_models import randomised_models
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import read_image
from clip_surgery.text.features import TextFeatures


class TrustMetric(SummedMetric):
    """The value of one check, times 100: the mean over images for each class, then over classes.

    One of the classes of each image is checked. Masks are not used.

    Args:
        names: class names of the data set.
        check: name of the check, a key of `CHECKS` other than "mosaic", which needs more images.

    Raises:
        InputError: if the check is unknown.
    """

    def __init__(self, names: tuple[str, ...], *, check: str) -> None:
        if check not in CHECKS or check == "mosaic":
            raise InputError(f"Expected a check of one image, but got {check!r}.")
        self.check = check
        self.values = ClassMean(len(names))
        self._nonsense: TextFeatures | None = None
        self._randomised: dict[str, Backbone] | None = None

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. Only its labels are needed, not its mask.

        Raises:
            InputError: if the evaluated image has no explainer.
        """
        explainer = evaluated.require_explainer()
        if not evaluated.labelled:
            return
        seed = crc32(evaluated.sample.image.tobytes())
        target = evaluated.labelled[seed % len(evaluated.labelled)]
        if self._nonsense is None:
            self._nonsense = replace(explainer, vocabulary=None).encode(gibberish(0))
        case = Case(
            explainer=explainer,
            image=read_image(evaluated.sample.image, name="an image"),
            classes=self._classes(evaluated, explainer),
            target=target,
            absent=tuple(evaluated.absent[seed % max(1, len(evaluated.absent)) :][:ABSENT]),
            nonsense=self._nonsense,
            seed=seed,
        )
        checked = Checked(
            on=MethodOnCase(case=case, explainer=explainer),
            shared=RandomSets(case=case),
            randomised=self._models(explainer.backbone),
        )
        with torch.no_grad():
            value = CHECKS[self.check].measure(checked)
        if value is not None:
            self.values.add(target, 100 * value)

    def compute(self) -> dict[str, float]:
        """Return the value under the title of the check."""
        means = self.values.means()
        return {} if means is None else {CHECKS[self.check].title: float(means[0])}

    def _models(self, backbone: Backbone) -> dict[str, Backbone]:
        if self.check != "randomisation":
            return {}
        if self._randomised is None:
            self._randomised = randomised_models(backbone)
        return self._randomised

    @staticmethod
    def _classes(evaluated: EvaluatedImage, explainer: Explainer) -> TextFeatures:
        """Return the features of the first prompt of every class."""
        rows = evaluated.starts[:-1]
        texts = tuple(texts[0] for texts in evaluated.texts_of_names)
        if evaluated.features is None:
            return explainer.encode(texts)
        return replace(evaluated.features, texts=texts, labels=evaluated.features.labels[rows])
