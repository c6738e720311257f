"""The compact vocabulary of training: only the tokens that can occur, in OpenAI's BPE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from clip_surgery.evaluation.datasets.scenes import BACKGROUNDS
from clip_surgery.evaluation.datasets.scenes.captions import TEMPLATES, with_article

SCENE_TEMPLATES = (
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)
"""The five that CLIP Surgery adds to the 80 of ImageNet."""
PLAIN_TEMPLATES = ("{}", "a {}", "a {}.", "the {}", "a photo of a {}.", "a photo of a {}")
FEW_TEMPLATES = (*PLAIN_TEMPLATES[:5], "a picture of a {}.", "there is a {} in the scene.")
LABEL_TEMPLATES: tuple[str, ...] = (
    *(template("{}") for template in OPENAI_IMAGENET_TEMPLATES),
    *SCENE_TEMPLATES,
)


class Vocabulary:
    """Texts to compact token ids and back to rows of the full table; ids (V,) are the BPE's."""

    def __init__(self, nouns: Sequence[str], more_texts: Iterable[str] = ()) -> None:
        self.bpe = SimpleTokenizer()
        texts = [
            *nouns,
            *(with_article(noun) for noun in nouns),
            *(f"{template.format('')} , and . an" for template in (*TEMPLATES, *LABEL_TEMPLATES)),
            *(background.place for background in BACKGROUNDS.values()),
            *more_texts,
        ]
        used = {token for text in texts for token in self.bpe.encode(text)}
        self.ids: list[int] = [self.bpe.sot_token_id, *sorted(used), self.bpe.eot_token_id]
        self._rows = {token: row for row, token in enumerate(self.ids)}
        self._words: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def _end(self) -> int:
        return len(self.ids) - 1

    def _encode_word(self, word: str) -> list[int]:
        # BPE never joins pieces over a space, so words can be encoded once and remembered.
        if word not in self._words:
            self._words[word] = [self._rows[token] for token in self.bpe.encode(word)]
        return self._words[word]

    def encode(self, texts: Sequence[str], *, multiple: int = 4) -> tuple[Tensor, Tensor]:
        """Tokens (C, T) int64, T the longest rounded up, and the places of their ends (C,)."""
        rows = [
            [0, *(row for word in text.split() for row in self._encode_word(word)), self._end]
            for text in texts
        ]
        longest = -(-max(map(len, rows)) // multiple) * multiple
        tokens = np.zeros((len(rows), longest), np.int64)
        for row, filled in zip(tokens, rows, strict=True):
            row[: len(filled)] = filled
        ends = np.array([len(filled) - 1 for filled in rows])
        return torch.from_numpy(tokens), torch.from_numpy(ends)


def label_templates(which: Literal["all", "few"]) -> tuple[str, ...]:
    """The templates that label prompts are drawn from; in "all", the plain ones come more often."""
    return FEW_TEMPLATES if which == "few" else (*LABEL_TEMPLATES, *PLAIN_TEMPLATES * 4)
