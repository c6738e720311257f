"""Protocol: what decides an evaluation's numbers beside the model and the method, as data.

The same maps give other numbers at another size, with other templates, thresholds or names. So
everything that decides is a field here, and every report keeps the whole of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.metric import Metric
from clip_surgery.explainer import Explainer
from clip_surgery.framing import FramingMode, FramingRule
from clip_surgery.inputs.vocabulary import resolve_vocabulary
from clip_surgery.tasks.segmentation import Background
from clip_surgery.text.templates import resolve_templates
from clip_surgery.windows import Windows

PromptChoice = Literal["names", "aliases"]
LabelChoice = Literal["present", "all"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How images are shown, what they are asked for, and what is measured.

    Attributes:
        name: what `--protocol` calls it.
        source: where it is from, and what that leaves open.
        metrics: keys of `metrics.registry.METRICS`.
        size: short side in pixels (the side, for squash and letterbox); the model's own if None.
        framing: how an image is laid into the model's frame.
        windows: explain through windows; then `size` and `framing` have no say.
        templates: a set's name or one template.
        prompts: ask for each class by its official name, or by all its aliases.
        labels: segmentation: which names compete, those in the image or all.
        background: segmentation: how a pixel gets no class, see `tasks.segmentation.segment`.
        threshold: for background "threshold", in [0, 1].
        vocabulary: reference words for presence, as "common".
        methods: what is measured when nobody says, as the command line writes methods.

    Raises:
        InputError: when there is no metric, one stands twice, or a number is out of range.
        UnknownNameError: for a template set, framing, prompts, labels or background unknown.

    Example:
        >>> Protocol(name="mine", source="by hand", metrics=("pointing",), size=336).framing
        'keep ratio'
    """

    name: str
    source: str = field(repr=False)
    metrics: tuple[str, ...]
    size: int | None = None
    framing: FramingMode = "keep ratio"
    windows: Windows | None = None
    templates: str = "clip_surgery"
    prompts: PromptChoice = "names"
    labels: LabelChoice = "present"
    background: Background = "threshold"
    threshold: float = 0.6
    vocabulary: str | None = None
    methods: tuple[str, ...] = field(default=("similarity", "clip_surgery"), repr=False)

    def __post_init__(self) -> None:
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise InputError(f"Expected metrics, each once, but got {self.metrics}.")
        for choice, choices in (
            ("prompts", get_args(PromptChoice)),
            ("labels", get_args(LabelChoice)),
            ("background", get_args(Background)),
        ):
            if getattr(self, choice) not in choices:
                raise UnknownNameError.among(choice, getattr(self, choice), choices)
        if not 0 <= self.threshold <= 1:
            raise InputError(f"Expected threshold to be within 0 to 1, but got {self.threshold}.")
        FramingRule(mode=self.framing, size=self.size)
        resolve_templates(self.templates)

    def build_metrics(self, names: tuple[str, ...]) -> list[Metric]:
        """The metrics for a data set with these names, empty.

        Raises:
            UnknownNameError: for a metric that is not registered.
        """
        from clip_surgery.evaluation.metrics.registry import METRICS
        from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU

        for metric in self.metrics:
            if metric not in METRICS:
                raise UnknownNameError.among("metric", metric, METRICS)
        return [
            SegmentationIoU(
                names, labels=self.labels, background=self.background, threshold=self.threshold
            )
            if metric == "segmentation"
            else METRICS[metric](names)
            for metric in self.metrics
        ]

    def apply(self, explainer: Explainer) -> Explainer:
        """The same model with this protocol's templates, framing and reference words."""
        return replace(
            explainer,
            templates=resolve_templates(self.templates),
            framing=FramingRule(mode=self.framing, size=self.size),
            vocabulary=resolve_vocabulary(self.vocabulary, known=explainer.backbone.nouns),
        )

    def changed(
        self,
        *,
        size: int | None = None,
        framing: FramingMode | None = None,
        templates: str | None = None,
    ) -> Protocol:
        """Put what is given in place of the protocol's own; the new name says what.

        Raises:
            InputError: for another framing than keep ratio beside windows.

        Example:
            >>> Protocol(name="mine", source="by hand", metrics=("tags",)).changed(size=128).name
            'mine(size=128)'
        """
        given = {"size": size, "framing": framing, "templates": templates}
        changes = {
            setting: value
            for setting, value in given.items()
            if value is not None and value != self._now(setting)
        }
        if not changes:
            return self
        told = ", ".join(f"{setting}={value}" for setting, value in changes.items())
        name = f"{self.name}({told})"
        if self.windows is None:
            return replace(self, name=name, **changes)  # type: ignore[arg-type]
        if framing not in (None, "keep ratio"):
            raise InputError(f"Framing {framing} does not go with the windows of {self.name}.")
        windows = self.windows if size is None else replace(self.windows, size=size)
        return replace(self, name=name, windows=windows, templates=templates or self.templates)

    def _now(self, setting: str) -> object:
        if setting == "size" and self.windows is not None:
            return self.windows.size
        return getattr(self, setting)
