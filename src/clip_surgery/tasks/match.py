"""Why an image matches a text or another image, as an exact sum over patches and words.

See `surgery.similarity_split` for the formula and its sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.framing import Framing
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.surgery.similarity_split import (
    FeatureParts,
    SimilaritySplit,
    best_pairs,
    image_parts,
    sentence_parts,
    split_similarity,
)
from clip_surgery.tasks.decompose import decompose
from clip_surgery.text.word_directions import word_directions


class MatchedPair(NamedTuple):
    """A patch of the query and a patch of the image, as (row, column), and what they add."""

    query_patch: tuple[int, int]
    patch: tuple[int, int]
    score: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """The cosine of a query and an image, and what words and patches add to it.

    Attributes:
        query: the sentence, or the name of the image that is the query.
        words: the words of the sentence; None if the query is an image.
        split: the exact split of the cosine; its Q parts are words or patches of the query.
        grid: rows and columns of the patches of the image.
        query_grid: those of the image that is the query, or None.
        framing: how the image was resized.
        query_framing: how the image that is the query was resized, or None.
        rival: the match of the rival with the same image, or None.
    """

    query: str
    words: tuple[str, ...] | None
    split: SimilaritySplit
    grid: PatchGrid
    framing: Framing
    query_grid: PatchGrid | None = None
    query_framing: Framing | None = None
    rival: Match | None = None

    @property
    def similarity(self) -> float:
        """The cosine of query and image."""
        return self.split.total()

    @property
    def rest(self) -> float:
        """What no patch of the image adds: the similarity minus the sum of `patch_scores()`."""
        return float(self.split.query_rest.sum()) + self.split.rest

    def patch_scores(self) -> Tensor:
        """Return what each patch of the image adds to the similarity (rows, columns)."""
        return self.grid.to_map(self.split.patch_scores())

    def query_patch_scores(self) -> Tensor | None:
        """Return what each patch of the image that is the query adds; None for a sentence."""
        grid = self.query_grid
        return None if grid is None else grid.to_map(self.split.part_scores())

    def word_scores(self) -> dict[str, float]:
        """Return what each word adds to the similarity; words that occur twice are summed.

        The score of a word is its contribution as in `words`, its Banzhaf value.
        """
        scores: dict[str, float] = {}
        for word, score in zip(self.words or (), self.split.part_scores().tolist(), strict=False):
            scores[word] = scores.get(word, 0.0) + score
        return scores

    def word_maps(self) -> Tensor:
        """Return what each word adds through each patch (W, rows, columns).

        Raises:
            InputError: if the query is an image.
        """
        if self.words is None:
            raise InputError("Expected a match of a sentence, but the query is an image.")
        return self.grid.to_map(self.split.pairs)

    def best_pairs(self, count: int = 5) -> list[MatchedPair]:
        """Return the pairs of patches of two images that add most to the similarity.

        Args:
            count: maximum number of pairs. Pairs whose patches are neighbours of those of a better
                pair in one of the images are left out.

        Raises:
            InputError: if the query is a sentence.
        """
        if self.query_grid is None:
            raise InputError("Expected a match of two images, but the query is a sentence.")
        first = (self.query_grid.rows, self.query_grid.columns)
        second = (self.grid.rows, self.grid.columns)
        return [
            MatchedPair(divmod(query, first[1]), divmod(patch, second[1]), score)
            for query, patch, score in best_pairs(
                self.split.pairs, query_grid=first, grid=second, count=count
            )
        ]

    def margin(self) -> float:
        """Return how much more similar the image is to the query than to the rival.

        Raises:
            InputError: if there is no rival.
        """
        return self.similarity - self._rival().similarity

    def margin_scores(self) -> Tensor:
        """Return what each patch adds to the margin (rows, columns).

        Positive patches speak for the query, negative ones for the rival.

        Raises:
            InputError: if there is no rival.
        """
        return self.patch_scores() - self._rival().patch_scores()

    def margin_rest(self) -> float:
        """Return what no patch adds to the margin.

        Raises:
            InputError: if there is no rival.
        """
        return self.rest - self._rival().rest

    def _rival(self) -> Match:
        if self.rival is None:
            raise InputError("Expected a match with a rival, but there is none.")
        return self.rival


def explain_match(
    explainer: Explainer,
    query: str | ImageSource | InputImage,
    image: ImageSource | InputImage,
    rival: str | ImageSource | InputImage | None = None,
    *,
    phrases: Sequence[str] = (),
) -> Match:
    """Return why an image matches a query, and more than a rival does.

    The similarity is the cosine of the model's own features. It is split exactly: what the patches
    add and `Match.rest` sum up to it. The method and the templates of the explainer are not used.

    Args:
        explainer: the model.
        query: a text, or an image. A str is always a text; give the path of an image as a
            `pathlib.Path`.
        image: the image.
        rival: another text or image; the result says what speaks for the query and what for the
            rival.
        phrases: parts of the texts that count as one word each (see `words`). Those that do not
            occur in one of the texts are ignored there.

    Raises:
        InputError: if an image or text cannot be used, or a phrase occurs in no text.
        UnsupportedModelError: if the image feature is no sum over patches (see `decompose`).

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> match = explain_match(load("demo"), "a clock", Image.radial_gradient("L"), "a cow")
        >>> total = float(match.margin_scores().sum()) + match.margin_rest()
        >>> abs(total - match.margin()) < 1e-5
        True
    """
    texts = [text for text in (query, rival) if isinstance(text, str)]
    for phrase in phrases:
        if not any(phrase in text for text in texts):
            raise InputError(f"Expected phrases that occur in a text, but {phrase!r} does not.")
    input_image = read_image(image)
    decomposed = decompose(explainer, input_image)
    parts, framing = image_parts(decomposed), explainer.frame(input_image)

    def match(source: str | ImageSource | InputImage, other: Match | None = None) -> Match:
        if isinstance(source, str):
            words, query_parts = _text_parts(explainer, source, phrases)
            return Match(
                query=source,
                words=words,
                split=split_similarity(query_parts, parts),
                grid=decomposed.grid,
                framing=framing,
                rival=other,
            )
        query_image = read_image(source)
        of_query = decompose(explainer, query_image)
        return Match(
            query=query_image.name,
            words=None,
            split=split_similarity(image_parts(of_query), parts),
            grid=decomposed.grid,
            framing=framing,
            query_grid=of_query.grid,
            query_framing=explainer.frame(query_image),
            rival=other,
        )

    return match(query, None if rival is None else match(rival))


def _text_parts(
    explainer: Explainer, text: str, phrases: Sequence[str]
) -> tuple[tuple[str, ...], FeatureParts]:
    """Return the words of a text and the parts of its feature; a text may have no word."""
    directions = word_directions(
        explainer.backbone,
        text,
        phrases=[phrase for phrase in phrases if phrase in text],
        truncate=explainer.truncate,
    )
    whole = directions.features[-1]  # the last of the masked sentences has all words
    parts = sentence_parts(directions.directions, whole)
    words = tuple(word.text for word in directions.words)
    return words, FeatureParts(parts=parts.parts.cpu().float(), rest=parts.rest.cpu().float())
