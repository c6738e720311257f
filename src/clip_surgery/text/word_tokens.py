"""Word tokens: which tokens of a sentence belong to which word, for any tokenizer.

A tokenizer shows token ids only, and libraries name their pieces differently. What is the same in
all: a sentence cut after a word has the same first tokens as the whole. So the end of each word is
where the tokens of the two begin to differ. Words that a tokenizer does not keep apart (Chinese,
say) come back as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import TextTower
from clip_surgery.errors import InputError

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*|[^\w\s]+")
_MORE = " a"  # appended to see where the sentence itself ends


@dataclass(frozen=True)
class WordSpan:
    """A word and its tokens: positions from `begin` up to, not including, `end`."""

    text: str
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceTokens:
    """A sentence as one text tower reads it.

    Attributes:
        ids: its token ids (n,), up to the end token in a causal tower.
        start: positions before the first word (0 where the tokenizer sets no start token).
        words: the words with their tokens; what was cut off is not among them.
        end: position of the token that carries the text.
    """

    ids: Tensor
    start: int
    words: tuple[WordSpan, ...]
    end: int


def tokenize_words(tower: TextTower, sentence: str, *, truncate: bool = False) -> SentenceTokens:
    """Tokens of a sentence, and which of them belong to which word.

    Raises:
        InputError: when there is no word, or more tokens than the context holds, unless
            `truncate`.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> tokens = tokenize_words(load_backbone("demo").text_tower, "a dog, running")
        >>> [word.text for word in tokens.words], tokens.start, tokens.end
        (['a', 'dog', ',', 'running'], 1, 5)
    """
    places = [match.span() for match in _WORD.finditer(sentence)]
    if not places:
        raise InputError(f"Expected a sentence with words, but got {sentence!r}.")
    ids = tower.tokenize([sentence], truncate=truncate)
    cuts = ["", *(sentence[:end] for _, end in places[:-1]), sentence + _MORE]
    others = tower.tokenize(cuts, truncate=True)
    carrier = int(tower.end_positions(ids)[0])
    # tokens that a cut sentence shares with the whole, counted from the left
    shared = (others == ids).int().cumprod(dim=1).sum(dim=1).tolist()
    ends = [min(count, carrier) if tower.causal else count for count in shared]
    words: list[WordSpan] = []
    begin = ends[0]
    since: int | None = None  # where a word began that has no token of its own yet
    for (left, right), end in zip(places, ends[1:], strict=True):
        since = left if since is None else since
        if end > begin:
            words.append(WordSpan(sentence[since:right], begin, end))
            begin, since = end, None
    if not words:
        raise InputError(f"Expected a sentence whose words the model reads, but got {sentence!r}.")
    length = carrier + 1 if tower.causal else ids.shape[1]
    return SentenceTokens(ids=ids[0, :length], start=ends[0], words=tuple(words), end=carrier)
