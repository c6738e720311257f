"""Actions: what each button of the page does, in plain values and without Gradio."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.model_choices import ModelChoices
from clip_surgery.apps.page.sessions import Session, shrunk
from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.inputs.texts import check_texts
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.tasks import inspection
from clip_surgery.tasks.masks import Mask, masks
from clip_surgery.tasks.words import words
from clip_surgery.word_explanation import WordExplanation

SHOWN_SIDE = 1024
"""Longer side of the picture that is kept and drawn, in pixels."""
GONE = "Press Explain first: this page keeps nothing of a picture (any more)."


@dataclass(frozen=True, kw_only=True, eq=False)
class Actions:
    """The page without its looks.

    The models are used by one thread at a time; all else runs beside it.

    Attributes:
        offers: the models.
        limits: what is refused.
        segmenter: cuts objects out; None where the page has none.
        one_at_a_time: held while a model runs.
    """

    offers: ModelChoices
    limits: Limits = field(default_factory=Limits)
    segmenter: Segmenter | None = None
    one_at_a_time: AbstractContextManager[object] = field(default_factory=threading.Lock)

    def read_picture(self, source: ImageSource | None, name: str = "picture") -> InputImage:
        """The picture of a visitor at a size of the limits, under the name that it had there.

        Raises:
            InputError: when there is none, or it is too large, damaged or no picture.
        """
        if source is None:
            raise InputError("Choose a picture first: upload, paste or photograph one.")
        most = self.limits.megapixels * 1_000_000
        return shrunk(read_image(source, name=name, max_pixels=most), self.limits.side)

    def read_words(self, words: Iterable[str] | str | None) -> tuple[str, ...]:
        """The words to look for; commas separate, words given twice count once.

        Raises:
            InputError: when there is none, or too many, or one is too long or no text.
        """
        listed: object = [words] if isinstance(words, str) else words or []
        if not isinstance(listed, Iterable) or isinstance(listed, Mapping):
            raise InputError(f"Expected a list of words, but got {type(listed).__name__}.")
        parts = []
        for word in listed:
            if not isinstance(word, str):
                raise InputError(f"Expected words as text, but got {type(word).__name__}.")
            parts += [part.strip() for part in word.split(",")]
        unique = tuple(dict.fromkeys(filter(None, parts)))
        if not unique:
            raise InputError("Type at least one word to look for.")
        if len(unique) > self.limits.words:
            raise InputError(
                f"Expected at most {self.limits.words} words at once, but got {len(unique)}."
            )
        for word in unique:
            self._check_length(word)
        return check_texts(unique)

    def explain(
        self,
        picture: InputImage,
        words: Iterable[str] | str | None,
        model: str,
        method: str,
        *,
        keep_side: int | None = SHOWN_SIDE,
    ) -> Session:
        """Ask the model where the words are; what is kept is at most `keep_side` pixels long.

        Raises:
            InputError: when the words cannot be used, or the method not with this model.
            UnknownNameError: for a model that is not offered or an unknown method.
        """
        offer = self.offers[model]
        explainer = offer.with_method(method)
        texts = self.read_words(words)
        with self.one_at_a_time:
            explanation = explainer.explain_images([picture], explainer.encode(texts))
        kept = picture if keep_side is None else shrunk(picture, keep_side)
        return Session(model=offer.name, picture=kept, explanation=explanation)

    def attention(
        self, picture: InputImage, point: tuple[float, float], model: str
    ) -> list[inspection.AttentionMap]:
        """What the patch at (x, y) in pixels looks at: the model's own way, and CLIP Surgery's.

        Raises:
            InputError: when the point lies outside.
            UnsupportedModelError: when the image tower has no attention to look at.
        """
        explainer = self.offers[model].explainer
        with self.one_at_a_time:
            return inspection.attention(explainer, picture, point)

    def sentence(
        self, picture: InputImage, sentence: str, model: str, method: str
    ) -> WordExplanation:
        """Which words of a sentence the picture shows, and where.

        Raises:
            InputError: when there is no sentence, or it is too long.
            UnsupportedModelError: when the text tower does not show its tokens.
        """
        if not isinstance(sentence, str) or not sentence.strip():
            raise InputError("Type a sentence about the picture.")
        self._check_length(sentence)
        explainer = self.offers[model].with_method(method)
        with self.one_at_a_time:
            return words(explainer, picture, sentence.strip())

    def find_tags(self, picture: InputImage, model: str) -> Explanation:
        """The picture asked for every word that the page suggests for this model."""
        offer = self.offers[model]
        explainer = offer.explainer.with_method("similarity")
        with self.one_at_a_time:
            return explainer.explain_images([picture], explainer.encode(offer.words))

    def masks(self, visit: Session) -> list[Mask | None]:
        """The object of each word cut out of the kept picture; None where there is no clue.

        Raises:
            InputError: when the page has no segmenter.
        """
        if self.segmenter is None:
            raise InputError("This page has no segmenter; start it with --segmenter NAME.")
        with self.one_at_a_time:
            [found] = masks(visit.shown, [visit.picture], visit.shown.texts, self.segmenter)
        return found

    def _check_length(self, text: str) -> None:
        if len(text) > self.limits.letters:
            raise InputError(
                f"Expected at most {self.limits.letters} letters, but {text[:40]!r}... "
                f"has {len(text)}."
            )


def still_there(visit: Session | None) -> Session:
    """The visit, if it is still kept.

    Raises:
        InputError: when it is not.
    """
    if not isinstance(visit, Session):
        raise InputError(GONE)
    return visit
