"""Example images: generated scenes with texts, one of which is not in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clip_surgery.apps.page.html_cards import data_link
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.inputs.images import InputImage

SEED = 31
SCENES = ((1, "dog"), (2, "clock"), (12, "guitar"), (4, "boat"), (26, "sheep"), (6, "cow"))
"""Index of each scene, and a text that is not in it."""
SIDE = 480


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """An image with texts to look for and a sentence about it."""

    image: InputImage
    texts: tuple[str, ...]
    caption: str


def examples() -> list[Example]:
    """Return the examples of the page.

    Example:
        >>> [len(example.texts) > 1 for example in examples()]
        [True, True, True, True, True, True]
    """
    scenes = SceneDataset(seed=SEED, count=1 + max(index for index, _ in SCENES), size=SIDE)
    scene_examples = []
    for number, (index, absent) in enumerate(SCENES, start=1):
        scene = scenes[index]
        scene_examples.append(
            Example(
                image=InputImage(image=scene.image, name=f"example {number}.png"),
                texts=(*sorted(scene.present), absent),
                caption=scene.caption or "",
            )
        )
    return scene_examples


def examples_view(shown: Sequence[Example]) -> str:
    """Return HTML with a button for each example."""
    buttons = "".join(
        f'<button type="button" data-example="{number}" aria-label="example {number + 1}: '
        f'{", ".join(example.texts)}" title="{", ".join(example.texts)}" style="background-image:'
        f'url({data_link(example.image.image.resize((160, 160)), quality=85)})"></button>'
        for number, example in enumerate(shown)
    )
    return (
        f'<p class="cs-small">Or start with an example</p><div class="cs-examples">{buttons}</div>'
    )
