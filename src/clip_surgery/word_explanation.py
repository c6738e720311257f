"""The result of explaining an image for the words of a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.names import printable
from clip_surgery.storage.tensor_file import read_tensors, write_tensors

FORMAT = "clip-surgery words 1"

WordKind = Literal["word", "start", "end"]


SCORE_SCALES = {
    "contribution": "Scores are how much a word changes the cosine similarity of the sentence and "
    "the image, on average over the sentence with other words deleted; 0 is no change.",
    "similarity": "Scores are cosine similarities of a word and the image, from -1 to 1.",
    "gradient": "Scores are the relevance of a word for the similarity of the sentence and the "
    "image, from 0 (none).",
}
"""For each kind of scores a sentence that says what they are."""


class RankedWord(NamedTuple):
    """A word, its score, and its position (from 0) among the words of the explanation."""

    text: str
    score: float
    position: int


def score_scale(evidence: str) -> str:
    """Return what the scores of this kind of evidence are and what they can be compared with."""
    scale = SCORE_SCALES.get(evidence, "")
    return f"{scale} Compare them within one sentence and image only.".strip()


@dataclass(frozen=True, kw_only=True, eq=False)
class WordExplanation:
    """Scores and maps of the W words of one sentence in one image.

    Attributes:
        sentence: the whole sentence.
        explanation: the explanation of the image. Its texts are the words in order, including the
            start and end tokens, so that tasks and figures can be used on it.
        kinds: for each word "word", "start" or "end".
        scores: (W,), the scores by which the words are ranked.
        evidence: the kind of the scores, "contribution", "similarity" or "gradient".
        variance_shares: (W,), for each word the share of the variance of the cosine, over sentences
            with words deleted, that it explains. None unless the scores are contributions.

    Raises:
        InputError: if shapes or lengths do not agree.
    """

    sentence: str
    explanation: Explanation
    kinds: tuple[WordKind, ...]
    scores: Tensor
    evidence: str = "similarity"
    variance_shares: Tensor | None = None

    def __post_init__(self) -> None:
        words = len(self.explanation.texts)
        if len(self.explanation) != 1:
            raise InputError(f"Expected one image, but got {len(self.explanation)}.")
        if len(self.kinds) != words or tuple(self.scores.shape) != (words,):
            raise InputError(
                f"Expected kinds and scores of {words} words, "
                f"but got {len(self.kinds)} and {tuple(self.scores.shape)}."
            )
        if self.variance_shares is not None and tuple(self.variance_shares.shape) != (words,):
            raise InputError(
                f"Expected variance shares of {words} words, "
                f"but got {tuple(self.variance_shares.shape)}."
            )
        if not set(self.kinds) <= set(get_args(WordKind)):
            raise InputError(f"Expected kinds of {get_args(WordKind)}, but got {self.kinds}.")

    @property
    def scale(self) -> str:
        """What the scores are and what they can be compared with, in words."""
        return score_scale(self.evidence)

    @property
    def fit(self) -> float | None:
        """R2 of the sum of the contributions as a model of the cosine, in [0, 1].

        With 1 the words act independently, so that the scores say everything. It is 0 if no word
        changes the cosine, and None unless the scores are contributions.
        """
        return None if self.variance_shares is None else float(self.variance_shares.sum())

    @property
    def words(self) -> tuple[str, ...]:
        """The words in order, including the start and end tokens."""
        return self.explanation.texts

    def __repr__(self) -> str:
        """The sentence, and its three words of highest score."""
        best = ", ".join(f"{word.text} {word.score:.3f}" for word in self.ranking()[:3])
        image = self.explanation.images[0]
        return printable(f"WordExplanation({self.sentence!r} in {image}, best words: {best})")

    def ranking(self, *, ends: bool = False) -> list[RankedWord]:
        """Return the words ordered by score, the highest first.

        Args:
            ends: include the start and end tokens, which often have high scores.
        """
        ranked = [
            RankedWord(text, score, position)
            for position, (text, score, kind) in enumerate(
                zip(self.words, self.scores.tolist(), self.kinds, strict=True)
            )
            if ends or kind == "word"
        ]
        return sorted(ranked, key=lambda word: -word.score)

    def save(self, path: str | Path) -> None:
        """Write the explanation to one safetensors file, which is replaced as a whole.

        Raises:
            InputError: if the file cannot be written.
        """
        tensors, facts = self.explanation.to_parts()
        words = {"sentence": self.sentence, "kinds": self.kinds, "evidence": self.evidence}
        tensors["word_scores"] = self.scores
        if self.variance_shares is not None:
            tensors["word_variance_shares"] = self.variance_shares
        write_tensors(path, tensors, {**facts, "words": words}, kind=FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> WordExplanation:
        """Read a file that `save` wrote.

        Raises:
            InputError: if the file is missing, damaged or of another kind.
        """
        tensors, facts = read_tensors(path, kind=FORMAT)
        try:
            return cls(
                sentence=facts["words"]["sentence"],
                explanation=Explanation.from_parts(tensors, facts),
                kinds=tuple(facts["words"]["kinds"]),
                scores=tensors["word_scores"],
                evidence=facts["words"]["evidence"],
                variance_shares=tensors.get("word_variance_shares"),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Expected a file of words, but {path} is damaged: {error!r}."
            ) from error
