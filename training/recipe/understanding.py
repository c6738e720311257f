"""Whether a model understands words outside the label set: accuracy on held-out scenes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP

from clip_surgery.evaluation.datasets.scenes import BACKGROUNDS, compose
from clip_surgery.evaluation.datasets.scenes.captions import with_article
from clip_surgery.evaluation.datasets.scenes.stream import DATASET_STREAM, generator
from recipe.config import Config
from recipe.data import patches_at
from recipe.measure import VALIDATION_SEED, encode_texts
from recipe.towers import image_features
from recipe.vocabulary import Vocabulary
from recipe.words import COLOURS, SIZES, coloured, phrase, size_word

SCENES = 300
FIRST = 1_000_000
"""Far behind the scenes that the other measures look at."""


@torch.no_grad()
def understanding(model: CLIP, config: Config, vocabulary: Vocabulary) -> dict[str, float]:
    """Share of scenes with one object whose right colour, size or place scores highest.

    The texts name the right noun and differ in the one word. Chance is 1 in 10, 2 and 16; a colour
    is that of an object painted in it, and sizes are asked of small and large objects only.
    """
    right: dict[str, list[bool]] = {"colour": [], "size": [], "place": []}
    places = [background.place for background in BACKGROUNDS.values()]
    rng = np.random.default_rng(VALIDATION_SEED)
    for number in range(SCENES):
        scene = compose(
            generator(DATASET_STREAM, VALIDATION_SEED, FIRST + number),
            config.model.image_size,
            config.scene_nouns,
            most_objects=1,
        )
        noun, inside = config.scene_nouns[scene.present[0]], scene.mask >= 0
        colour = list(COLOURS)[int(rng.integers(len(COLOURS)))]
        painted = coloured(scene.pixels, inside, colour)
        questions = [
            ("colour", painted, [phrase([word, noun]) for word in COLOURS], list(COLOURS), colour),
            (
                "place",
                scene.pixels,
                [f"{with_article(noun)} {place}" for place in places],
                list(BACKGROUNDS),
                scene.background,
            ),
        ]
        if size := size_word(float(inside.mean())):
            sized = [phrase([word, noun]) for word in SIZES]
            questions.append(("size", scene.pixels, sized, list(SIZES), size))
        for name, pixels, texts, answers, answer in questions:
            best = best_text(model, config, vocabulary, pixels, texts)
            right[name].append(answers[best] == answer)
    return {f"{name} accuracy": float(np.mean(hits)) for name, hits in right.items()}


def best_text(
    model: CLIP,
    config: Config,
    vocabulary: Vocabulary,
    pixels: NDArray[np.uint8],
    texts: list[str],
) -> int:
    """Which of the texts scores highest for a picture (H, W, 3)."""
    image = torch.from_numpy(pixels)[None].to(config.device)
    features = image_features(model, patches_at(image, config.model.patch_size))
    asked = [f"a photo of {text}." for text in texts]
    return int((features @ encode_texts(model, config, vocabulary, asked).T).argmax())
