"""WordExplanation: which words of a sentence an image shows, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.storage.tensor_file import read_tensors, write_tensors

FORMAT = "clip-surgery words 1"

WordKind = Literal["word", "start", "end"]


class RankedWord(NamedTuple):
    """A word with its score, and its place in the sentence."""

    text: str
    score: float
    place: int


@dataclass(frozen=True, kw_only=True, eq=False)
class WordExplanation:
    """Evidence for the W words of one sentence in one image.

    Attributes:
        sentence: the whole sentence.
        explanation: of the one image; its texts are the words in order, the start and end
            tokens among them, so that every task and output works on them.
        kinds: per word "word", "start" or "end".
        scores: (W,) what ranks the words, see `evidence`.
        evidence: what the scores are: "similarity" or "gradient".

    Raises:
        InputError: when the parts do not belong together.
    """

    sentence: str
    explanation: Explanation
    kinds: tuple[WordKind, ...]
    scores: Tensor
    evidence: str = "similarity"

    def __post_init__(self) -> None:
        words = len(self.explanation.texts)
        if len(self.explanation) != 1:
            raise InputError(f"Expected one image, but got {len(self.explanation)}.")
        if len(self.kinds) != words or tuple(self.scores.shape) != (words,):
            raise InputError(
                f"Expected kinds and scores of {words} words, "
                f"but got {len(self.kinds)} and {tuple(self.scores.shape)}."
            )
        if not set(self.kinds) <= set(get_args(WordKind)):
            raise InputError(f"Expected kinds of {get_args(WordKind)}, but got {self.kinds}.")

    @property
    def words(self) -> tuple[str, ...]:
        """The words in order, start and end tokens among them."""
        return self.explanation.texts

    def ranking(self, *, ends: bool = False) -> list[RankedWord]:
        """The words, best first; the start and end tokens, which often rank high, with `ends`."""
        ranked = [
            RankedWord(text, score, place)
            for place, (text, score, kind) in enumerate(
                zip(self.words, self.scores.tolist(), self.kinds, strict=True)
            )
            if ends or kind == "word"
        ]
        return sorted(ranked, key=lambda word: -word.score)

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file.

        Raises:
            InputError: when the file cannot be written.
        """
        tensors, facts = self.explanation.to_parts()
        own = {"sentence": self.sentence, "kinds": self.kinds, "evidence": self.evidence}
        write_tensors(
            path, {**tensors, "word_scores": self.scores}, {**facts, "words": own}, kind=FORMAT
        )

    @classmethod
    def load(cls, path: str | Path) -> WordExplanation:
        """Read what `save` wrote.

        Raises:
            InputError: when the file is missing, damaged or of another kind.
        """
        tensors, facts = read_tensors(path, kind=FORMAT)
        try:
            return cls(
                sentence=facts["words"]["sentence"],
                explanation=Explanation.from_parts(tensors, facts),
                kinds=tuple(facts["words"]["kinds"]),
                scores=tensors["word_scores"],
                evidence=facts["words"]["evidence"],
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Expected a file of words, but {path} is damaged: {error!r}."
            ) from error
