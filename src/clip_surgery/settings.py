"""The settings of an explainer, which `load` and `wrap` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.explainer import Explainer
from clip_surgery.framing import FramingRule
from clip_surgery.inputs.vocabulary import resolve_vocabulary
from clip_surgery.methods.method import Method
from clip_surgery.methods.registry import as_method
from clip_surgery.presets import preset_named
from clip_surgery.text.cache import TextCache
from clip_surgery.text.templates import resolve_templates

DEFAULT_METHOD = "clip_surgery"


@dataclass(frozen=True, kw_only=True)
class ExplainerSettings:
    """Settings of an explainer in the forms that users write, such as names.

    Attributes:
        method: name of a method, also with settings as in "clip_surgery(depth=8)", or a method.
        templates: name of a template set, one template with "{}", or several.
        framing: how images are resized; None keeps the aspect ratio at the model's size.
        batch_size: maximum number of images that the model processes at a time.
        cache: whether text features are cached on disk.
        truncate: whether texts over the context length are cut; otherwise they are refused.
        vocabulary: reference words, with which texts are compared for presence and in feature
            surgery. "small" is a list of 141 common nouns and "common" one of 561; for a model that
            was trained on few nouns both are these nouns. None for no reference words.
        preset: "fast", "scenes", "balanced" or "best" (see `presets.PRESETS`): its method replaces
            the default of `method`, and `segment` has a preset of the same name. None for no
            preset.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> settings = ExplainerSettings(templates="photo", batch_size=2)
        >>> settings.explainer(load_backbone("demo")).templates
        ('a photo of a {}.',)
    """

    method: str | Method = DEFAULT_METHOD
    templates: str | Sequence[str] = "clip_surgery"
    framing: FramingRule | None = None
    batch_size: int = 8
    cache: bool = True
    truncate: bool = False
    vocabulary: str | Sequence[str] | None = "small"
    preset: str | None = None

    def explainer(self, backbone: Backbone) -> Explainer:
        """Return an explainer of this model with these settings.

        Raises:
            UnknownNameError: if the name of a method, template set, vocabulary or preset is
                unknown.
            InputError: if a setting cannot be used.
        """
        method = self.method
        if self.preset is not None:
            preset = preset_named(self.preset)
            method = preset.method if method == DEFAULT_METHOD else method
        return Explainer(
            backbone=backbone,
            method=as_method(method),
            templates=resolve_templates(self.templates),
            framing=self.framing or FramingRule(),
            batch_size=self.batch_size,
            cache=TextCache() if self.cache else None,
            truncate=self.truncate,
            vocabulary=resolve_vocabulary(self.vocabulary, known=backbone.nouns),
        )


class SettingArguments(TypedDict, total=False):
    """The types of the fields of `ExplainerSettings` as keyword arguments of `load` and `wrap`."""

    method: str | Method
    templates: str | Sequence[str]
    framing: FramingRule | None
    batch_size: int
    cache: bool
    truncate: bool
    vocabulary: str | Sequence[str] | None
    preset: str | None
