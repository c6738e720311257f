"""Prompt templates: the sentences that a text is put into before the text tower encodes it.

A text is described better by the mean of many sentences than by one (Radford et al.,
arXiv 2103.00020, section 3.1.4). The 80 ImageNet templates and the seven best of them are the lists
OpenAI published with CLIP (notebooks/Prompt_Engineering_for_ImageNet.ipynb, MIT licence); the five
"in the scene" sentences are those CLIP Surgery (arXiv 2304.05653) adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from clip_surgery.errors import InputError, UnknownNameError

SLOT = "{}"
MAX_TEMPLATE_CHARACTERS = 2_000
"""Largest length of a template; the context of CLIP models is 77 tokens."""
_LONGEST_SHOWN = 80

_IMAGENET = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)

_IN_THE_SCENE = (
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)

_SMALL = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

TEMPLATE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "clip_surgery": _IMAGENET + _IN_THE_SCENE,
        "imagenet": _IMAGENET,
        "small": _SMALL,
        "photo": ("a photo of a {}.",),
        "name": (SLOT,),
    }
)
"""Template sets by name: clip_surgery (85 templates), imagenet (80), small (7), photo and name."""


def resolve_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Return the templates of a named set, or one template or several, checked.

    Args:
        templates: a name of `TEMPLATE_SETS`, a template such as "a photo of a {}.", or a sequence
            of templates. Each contains "{}" exactly once; other braces are ordinary characters.

    Raises:
        UnknownNameError: if a text is neither the name of a set nor contains "{}".
        InputError: if there is no template, or one does not contain "{}" exactly once, has more
            than 2,000 characters, or is given twice.

    Example:
        >>> resolve_templates("photo")
        ('a photo of a {}.',)
        >>> len(resolve_templates("clip_surgery"))
        85
    """
    if isinstance(templates, str):
        if SLOT not in templates:
            if templates not in TEMPLATE_SETS:
                if len(templates) > _LONGEST_SHOWN:
                    raise InputError(
                        f'Expected a template with "{SLOT}", but got {_shown(templates)}.'
                    )
                raise UnknownNameError.among("template set", templates, TEMPLATE_SETS)
            return TEMPLATE_SETS[templates]
        templates = (templates,)
    if not isinstance(templates, Iterable) or isinstance(templates, bytes | Mapping):
        raise InputError(
            f"Expected a template set, a template or a list of templates, "
            f"but got {type(templates).__name__}: {_shown(templates)}."
        )
    checked = tuple(_check_template(template) for template in templates)
    if not checked:
        raise InputError("Expected at least one template, but got none.")
    seen: set[str] = set()
    for template in checked:
        if template in seen:
            raise InputError(f"Expected each template once, but {template!r} is given twice.")
        seen.add(template)
    return checked


def fill(template: str, text: str) -> str:
    """Return the template with "{}" replaced by the text; braces in the text are kept.

    Example:
        >>> fill("a photo of a {}.", "bench")
        'a photo of a bench.'
    """
    return template.replace(SLOT, text)


def _shown(value: object) -> str:
    """Return the value as it is written in Python, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _check_template(template: object) -> str:
    if not isinstance(template, str):
        raise InputError(
            f"Expected a template as text, but got {type(template).__name__}: {_shown(template)}."
        )
    if template.count(SLOT) != 1:
        raise InputError(
            f'Expected a template with exactly one "{SLOT}" for the text, '
            f"but got {_shown(template)}."
        )
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise InputError(
            f"Expected a template of at most {MAX_TEMPLATE_CHARACTERS:,} characters, "
            f"but got {len(template):,}: {_shown(template)}."
        )
    return template
