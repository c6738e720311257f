"""The computations of the page, independent of Gradio: one method of `Actions` for each button."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.model_choices import ModelChoices
from clip_surgery.apps.page.sessions import Session, reduced
from clip_surgery.apps.page.stopping import check_running, time_limit
from clip_surgery.apps.page.typed_texts import read_sentence, read_texts
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.surgery.decomposed_feature import DecomposedFeature
from clip_surgery.tasks import inspection
from clip_surgery.tasks.decompose import decompose
from clip_surgery.tasks.head_attention import HeadAttention, head_attention
from clip_surgery.tasks.interactions import Interactions, interactions
from clip_surgery.tasks.masks import Mask, mask_at, masks
from clip_surgery.tasks.match import Match, explain_match
from clip_surgery.tasks.words import words
from clip_surgery.word_explanation import WordExplanation

SHOWN_SIDE = 1024
"""Longer side in pixels of the image that is kept and drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Actions:
    """The computations of the page.

    One thread at a time uses the models, and one at a time decodes an image. Everything else runs
    in parallel.

    Attributes:
        models: the models that a visitor may choose.
        limits: the sizes and times above which a request is refused.
        segmenter: the model that segments objects, or None if the page has none.
        preset: preset of segmentation, or None.
        model_lock: held while a model runs.
        image_lock: held while an image is decoded, which may take much memory.
    """

    models: ModelChoices
    limits: Limits = field(default_factory=Limits)
    segmenter: Segmenter | None = None
    preset: str | None = None
    model_lock: AbstractContextManager[object] = field(default_factory=threading.Lock)
    image_lock: AbstractContextManager[object] = field(default_factory=threading.Lock)

    def prepare_image(self, source: ImageSource | None, name: str = "image") -> InputImage:
        """Read the image of a visitor and reduce it to the size of the limits.

        Args:
            source: the image, usually the bytes of its file.
            name: name of the file on the visitor's machine.

        Raises:
            InputError: if there is no image, or it is too large, damaged or not an image.
        """
        if source is None:
            raise InputError("Choose an image first: upload, paste or photograph one.")
        max_pixels = self.limits.megapixels * 1_000_000
        with self.image_lock:
            check_running()
            return reduced(read_image(source, name=name, max_pixels=max_pixels), self.limits.side)

    def explain(
        self,
        image: InputImage,
        texts: Iterable[str] | str | None,
        model: str,
        method: str,
        *,
        keep_side: int | None = SHOWN_SIDE,
    ) -> Session:
        """Explain an image for texts.

        Args:
            image: the image of the visitor.
            texts: texts to look for.
            model: name of a model of the page.
            method: name of a method that works with the model.
            keep_side: maximum longer side in pixels of the image in the result; None keeps it.

        Raises:
            InputError: if the texts cannot be used, or the method does not work with this model.
            UnknownNameError: for an unknown model or method.
        """
        choice = self.models[model]
        explainer = self.limits.applied_to(choice.with_method(method))
        checked_texts = read_texts(texts, self.limits)
        with self._model_turn():
            explanation = explainer.explain_images([image], choice.encode(checked_texts))
        kept = image if keep_side is None else reduced(image, keep_side)
        return Session(
            model=model, method=method, image=kept, explanation=explanation, preset=self.preset
        )

    def attention(
        self, image: InputImage, point: tuple[float, float], model: str
    ) -> list[inspection.AttentionMap]:
        """Return the attention of the patch at a point: CLIP's own, and that of CLIP Surgery.

        Args:
            image: the image of the visitor.
            point: (x, y) in pixels of the image.
            model: name of a model of the page.

        Raises:
            InputError: if the point is outside of the image.
            UnsupportedModelError: if the image tower has no attention.
        """
        explainer = self.limits.applied_to(self.models[model].explainer)
        with self._model_turn():
            return inspection.attention(explainer, image, point)

    def sentence(
        self, image: InputImage, sentence: str, model: str, method: str
    ) -> WordExplanation:
        """Return how well each word of a sentence matches the image, and where.

        Raises:
            InputError: if there is no sentence, or it is too long.
            UnsupportedModelError: if the text tower does not give features of its tokens.
        """
        checked_sentence = read_sentence(sentence, self.limits)
        explainer = self.limits.applied_to(self.models[model].with_method(method))
        with self._model_turn():
            return words(explainer, image, checked_sentence)

    def interactions(self, image: InputImage, sentence: str, model: str) -> Interactions:
        """Return which words of a sentence go with which regions of an image.

        Raises:
            InputError: if there is no sentence, or it is too long.
        """
        checked_sentence = read_sentence(sentence, self.limits)
        explainer = self.limits.applied_to(self.models[model].explainer)
        with self._model_turn():
            return interactions(explainer, image, checked_sentence)

    def find_tags(self, image: InputImage, model: str) -> Explanation:
        """Explain the image for all texts that the page suggests for this model."""
        choice = self.models[model]
        explainer = self.limits.applied_to(choice.with_method("similarity"))
        with self._model_turn():
            return explainer.explain_images([image], choice.encode(choice.suggested_texts))

    def decompose(
        self, image: InputImage, texts: Iterable[str], model: str
    ) -> tuple[DecomposedFeature, Tensor, Framing]:
        """Return what each head adds to the feature of an image.

        Args:
            image: the image of the visitor.
            texts: texts to look for.
            model: name of a model of the page.

        Returns:
            The contributions, the features (C, D) of the texts, and how the image was framed.

        Raises:
            InputError: if the image feature is no sum of contributions of heads.
        """
        choice = self.models[model]
        explainer = self.limits.applied_to(choice.explainer)
        checked_texts = read_texts(texts, self.limits)
        with self._model_turn():
            features = choice.encode(checked_texts).labels.cpu()
            try:
                parts = decompose(explainer, image)
            except UnsupportedModelError:
                raise InputError(
                    f"The scores of {model} are no sums over heads. Choose another model."
                ) from None
        return parts, features, explainer.frame(image)

    def match(
        self, image: InputImage, query: str | InputImage, rival: str | InputImage, model: str
    ) -> Match:
        """Return what each part of an image adds to its similarity with a text or another image.

        Args:
            image: the image of the visitor.
            query: a text, used as it is, or another image of the visitor.
            rival: another text or image, or a blank text for none.
            model: name of a model of the page.

        Raises:
            InputError: if a text is missing or cannot be used, or the similarity is no such sum.
        """
        checked_query = self._read_query(query)
        is_blank = rival is None or (isinstance(rival, str) and not rival.strip())
        checked_rival = None if is_blank else self._read_query(rival)
        explainer = self.limits.applied_to(self.models[model].explainer)
        with self._model_turn():
            try:
                return explain_match(explainer, checked_query, image, checked_rival)
            except UnsupportedModelError:
                raise InputError(
                    f"The similarity of {model} is no sum over parts of the image. "
                    "Choose another model."
                ) from None

    def head_attention(
        self, image: InputImage, point: tuple[float, float] | None, model: str
    ) -> HeadAttention:
        """Return what a token attends to in every head of every block.

        Args:
            image: the image of the visitor.
            point: (x, y) in pixels of the image, whose patch attends; None for the class token.
            model: name of a model of the page.

        Raises:
            InputError: if the point is outside of the image, or the model has no attention.
        """
        explainer = self.limits.applied_to(self.models[model].explainer)
        with self._model_turn():
            try:
                return head_attention(explainer, image, point)
            except UnsupportedModelError:
                raise InputError(
                    f"{model} has no heads whose attention could be shown. Choose another model."
                ) from None

    def masks(self, session: Session) -> list[Mask | None]:
        """Segment the object of each text in the kept image; None where no object was found.

        Raises:
            InputError: if the page has no segmenter.
        """
        segmenter = self._require_segmenter()
        explanation = session.kept_explanation
        with self._model_turn():
            [masks_of_image] = masks(explanation, [session.image], segmenter)
        return masks_of_image

    def mask_at(self, image: InputImage, point: tuple[float, float]) -> Mask:
        """Segment the object at a point (x, y) in pixels of an image.

        Raises:
            InputError: if the page has no segmenter.
        """
        segmenter = self._require_segmenter()
        with self._model_turn():
            return mask_at(image, point, segmenter)

    def _read_query(self, query: object) -> str | InputImage:
        return query if isinstance(query, InputImage) else read_sentence(query, self.limits)

    def _require_segmenter(self) -> Segmenter:
        if self.segmenter is None:
            raise InputError("This page has no segmenter; start it with --segmenter NAME.")
        return self.segmenter

    @contextmanager
    def _model_turn(self) -> Iterator[None]:
        """Wait until no other thread uses a model; then the time limit begins."""
        with self.model_lock, time_limit(self.limits.seconds):
            check_running()
            yield
