"""HTML of the interactions of the words of a sentence with regions of the image."""

from __future__ import annotations

from clip_surgery.apps.page.html_cards import plain
from clip_surgery.apps.page.signed_cards import SignedMap, signed_cards, signed_scale
from clip_surgery.figures.interactions import drawn_words, fit_text
from clip_surgery.inputs.images import InputImage
from clip_surgery.tasks.interactions import Interactions

WORDS = 6
"""Maximum number of words whose regions are shown."""


def interactions_view(image: InputImage, interactions: Interactions) -> str:
    """Return the R2 of the fit, and for each word the regions that add to it, on one scale."""
    positions = drawn_words(interactions, top=WORDS)
    limit = float(interactions.pair_scores[positions].abs().max())
    patches = interactions.patch_scores()
    maps = []
    for position in positions:
        word, score = interactions.words[position], float(interactions.word_scores[position])
        maps.append(
            SignedMap(
                title=f"{word}: regions",
                note=f"on average {score:+.3f}",
                alt=f"How much more the word {word} adds (on average {score:+.3f}) if a region "
                "of the image is visible",
                scores=patches[position],
                limit=limit,
            )
        )
    return (
        f'<p class="cs-hint-line">{plain(fit_text(interactions))} '
        f"Red: the word adds more if the region is visible. Blue: it adds less.</p>"
        f"{signed_cards(image, maps, interactions.framing)}{signed_scale()}"
    )
