"""Examples: generated scenes with words to look for, one of them not in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clip_surgery.apps.page.html_cards import data_link
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.inputs.images import InputImage

SEED = 31
SCENES = ((10, "dog"), (2, "clock"), (12, "guitar"), (4, "boat"), (19, "sheep"), (6, "cow"))
"""Which scenes, and the word that is not in each."""
SIDE = 480


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A picture to begin with."""

    picture: InputImage
    words: tuple[str, ...]
    caption: str


def examples() -> list[Example]:
    """The examples of the page.

    Example:
        >>> [len(example.words) > 1 for example in examples()]
        [True, True, True, True, True, True]
    """
    scenes = SceneDataset(seed=SEED, count=1 + max(index for index, _ in SCENES), size=SIDE)
    made = []
    for number, (index, absent) in enumerate(SCENES, start=1):
        scene = scenes[index]
        made.append(
            Example(
                picture=InputImage(image=scene.image, name=f"example {number}.png"),
                words=(*sorted(scene.present), absent),
                caption=scene.caption or "",
            )
        )
    return made


def examples_view(shown: Sequence[Example]) -> str:
    """Small pictures to press."""
    buttons = "".join(
        f'<button type="button" data-example="{number}" aria-label="example {number + 1}: '
        f'{", ".join(example.words)}" title="{", ".join(example.words)}" style="background-image:'
        f'url({data_link(example.picture.image.resize((160, 160)), quality=85)})"></button>'
        for number, example in enumerate(shown)
    )
    return (
        f'<p class="cs-small">Or begin with an example</p><div class="cs-examples">{buttons}</div>'
    )
