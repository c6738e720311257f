"""Assignment of the tokens of a sentence to its words, for any tokenizer.

Tokenizers return token ids only, and libraries name the pieces of words differently. In all of
them, however, a sentence that is cut after a word has the same first tokens as the whole sentence.
The end of each word is therefore the position at which the tokens of the two begin to differ. Words
that a tokenizer does not separate are returned as one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import TextTower
from clip_surgery.errors import InputError
from clip_surgery.text.sentence_words import split_words

_CONTINUATION = " a"  # appended to the sentence to find the end of its last word


@dataclass(frozen=True)
class WordSpan:
    """A word and the positions of its tokens, from `begin` up to but not including `end`."""

    text: str
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceTokens:
    """The tokens of a sentence and of its words.

    Attributes:
        ids: token ids (n,) of the sentence, up to the end token in a causal tower.
        start: number of tokens before the first word; 0 if the tokenizer adds no start token.
        words: the words with the positions of their tokens, without words that were cut off.
        end: position of the token at which the model reads the text.
    """

    ids: Tensor
    start: int
    words: tuple[WordSpan, ...]
    end: int


def tokenize_words(
    tower: TextTower, sentence: str, *, phrases: Sequence[str] = (), truncate: bool = False
) -> SentenceTokens:
    """Return the tokens of a sentence and the positions of the tokens of each word.

    Args:
        tower: the text tower.
        sentence: the sentence.
        phrases: parts of the sentence that count as one word each (see `split_words`).
        truncate: whether a sentence over the context length is cut; otherwise it is refused.

    Raises:
        InputError: if the sentence has no word that the model reads, or more tokens than the
            context length and `truncate` is False, or if a phrase does not occur in it.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> tokens = tokenize_words(load_backbone("demo").text_tower, "a dog, running")
        >>> [word.text for word in tokens.words], tokens.start, tokens.end
        (['a', 'dog', ',', 'running'], 1, 5)
    """
    spans = [(word.begin, word.end) for word in split_words(sentence, phrases)]
    ids = tower.tokenize([sentence], truncate=truncate)
    cuts = ["", *(sentence[:end] for _, end in spans[:-1]), sentence + _CONTINUATION]
    cut_ids = tower.tokenize(cuts, truncate=True)
    end_position = int(tower.end_positions(ids)[0])
    # number of first tokens that a cut sentence shares with the whole one
    shared = (cut_ids == ids).int().cumprod(dim=1).sum(dim=1).tolist()
    ends = [min(count, end_position) if tower.causal else count for count in shared]
    words: list[WordSpan] = []
    begin = ends[0]
    word_start: int | None = None  # start of a word that no token has been assigned to yet
    for (left, right), end in zip(spans, ends[1:], strict=True):
        word_start = left if word_start is None else word_start
        if end > begin:
            words.append(WordSpan(sentence[word_start:right], begin, end))
            begin, word_start = end, None
    if not words:
        raise InputError(f"Expected a sentence whose words the model reads, but got {sentence!r}.")
    length = end_position + 1 if tower.causal else ids.shape[1]
    return SentenceTokens(ids=ids[0, :length], start=ends[0], words=tuple(words), end=end_position)
