"""Evaluation protocols as data: everything except model and method that determines the numbers.

The numbers of a method depend on the size of images, the templates, thresholds and class names.
All of them are fields of a protocol, and every report contains the whole protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.metric import Metric
from clip_surgery.explainer import Explainer
from clip_surgery.framing import FramingMode, FramingRule
from clip_surgery.inputs.vocabulary import resolve_vocabulary
from clip_surgery.refinement.registry import Refinement, as_refinement
from clip_surgery.tasks.segmentation import Background
from clip_surgery.text.templates import resolve_templates
from clip_surgery.windows import Windows

PromptChoice = Literal["names", "aliases"]
LabelChoice = Literal["present", "all"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How images are framed, which texts they are explained for, and which metrics are computed.

    Attributes:
        name: name of the protocol, as for `--protocol`.
        source: publication of the protocol, and what it leaves open.
        metrics: keys of `metrics.registry.METRICS`.
        size: short side of the framed image in pixels (the side, for "squash" and "letterbox"). If
            None, the size of the model.
        framing: how an image is fitted into the frame of the model.
        windows: explain images through windows; `size` and `framing` are then not used.
        templates: name of a set of prompt templates, or one template.
        prompts: prompt each class with its official name ("names") or all its aliases ("aliases").
        labels: for segmentation, which classes compete: "present" in the image, or "all".
        background: for segmentation, when a pixel gets no class, see `tasks.segmentation.segment`.
        threshold: threshold of the background rules "threshold" and "probability", in [0, 1].
        logit_scale: factor on cosines of the background rule "probability".
        background_words: whether the background words of the data set compete, for the background
            rule "probability".
        min_presence: for segmentation, classes that are less likely than this do not compete.
        refine: for segmentation, refinement of the maps along the edges of the image.
        vocabulary: reference words for presence, for example "common".
        methods: methods that the command line evaluates by default.

    Raises:
        InputError: if there is no metric, a metric is repeated, or a number is out of range.
        UnknownNameError: if templates, framing, prompts, labels, background or refine are unknown.

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
    logit_scale: float = 40.0
    background_words: bool = False
    min_presence: float | None = None
    refine: str | Refinement = "none"
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
        as_refinement(self.refine)
        FramingRule(mode=self.framing, size=self.size)
        resolve_templates(self.templates)

    def build_metrics(self, names: tuple[str, ...]) -> list[Metric]:
        """Create the metrics for a data set with these class names.

        Raises:
            UnknownNameError: if a metric is not registered.
        """
        from clip_surgery.evaluation.metrics.registry import METRICS
        from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU

        for metric in self.metrics:
            if metric not in METRICS:
                raise UnknownNameError.among("metric", metric, METRICS)
        return [
            SegmentationIoU(
                names,
                labels=self.labels,
                background=self.background,
                threshold=self.threshold,
                logit_scale=self.logit_scale,
                min_presence=self.min_presence,
                refine=self.refine,
            )
            if metric == "segmentation"
            else METRICS[metric](names)
            for metric in self.metrics
        ]

    def apply(self, explainer: Explainer) -> Explainer:
        """Return the explainer with the templates, framing and reference words of this protocol."""
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
        """Return the protocol with other settings, which its new name lists.

        Args:
            size: short side in pixels; unchanged if None.
            framing: how an image is fitted into the frame; unchanged if None.
            templates: name of a set of templates, or one template; unchanged if None.

        Raises:
            InputError: if the protocol uses windows and the framing is not "keep ratio".

        Example:
            >>> Protocol(name="mine", source="by hand", metrics=("tags",)).changed(size=128).name
            'mine(size=128)'
        """
        settings = {"size": size, "framing": framing, "templates": templates}
        changes = {
            setting: value
            for setting, value in settings.items()
            if value is not None and value != self._current(setting)
        }
        if not changes:
            return self
        change_list = ", ".join(f"{setting}={value}" for setting, value in changes.items())
        name = f"{self.name}({change_list})"
        if self.windows is None:
            return replace(self, name=name, **changes)  # type: ignore[arg-type]
        if framing not in (None, "keep ratio"):
            raise InputError(
                f"Framing {framing} cannot be combined with the windows of {self.name}."
            )
        windows = self.windows if size is None else replace(self.windows, size=size)
        return replace(self, name=name, windows=windows, templates=templates or self.templates)

    def _current(self, setting: str) -> object:
        """The value of a setting; with windows, their size."""
        if setting == "size" and self.windows is not None:
            return self.windows.size
        return getattr(self, setting)
