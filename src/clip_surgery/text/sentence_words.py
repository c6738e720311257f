"""The words of a sentence, in any script, and phrases that count as one word.

A word is a sequence of letters, digits and marks, with apostrophes and hyphens between them; other
characters without a space between them are one word of punctuation. Chinese characters, hiragana
and letters of Thai, Lao, Burmese and Khmer are words of their own, because these scripts are
written without spaces and no rule of characters finds their words. Their longer words can be given
as phrases. Katakana is written for loanwords, so that a sequence of it is one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import category

from clip_surgery.errors import InputError

_JOINERS = "'\u2019-\u200c\u200d"  # apostrophes, hyphen, and the joiners of Indic scripts
_SINGLE_LETTERS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005-\u3007\u3041-\u309f"  # iteration marks of Chinese characters, hiragana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"  # Chinese characters
)


@dataclass(frozen=True)
class SentenceWord:
    """A word or phrase, and its characters from `begin` up to but not including `end`."""

    text: str
    begin: int
    end: int


def split_words(sentence: str, phrases: Sequence[str] = ()) -> tuple[SentenceWord, ...]:
    """Return the words of a sentence in order, where each phrase counts as one word.

    Args:
        sentence: the sentence, in any language.
        phrases: parts of the sentence that count as one word each, at every place where they occur
            between two words. Letter case matters. If two overlap, the earlier one counts, and of
            two that begin at the same place the longer one.

    Raises:
        InputError: if the sentence has no word, or if a phrase is empty or does not occur in it.

    Example:
        >>> [word.text for word in split_words("a red car, and 赤い車", ["red car"])]
        ['a', 'red car', ',', 'and', '赤', 'い', '車']
    """
    if isinstance(phrases, str):
        raise InputError(f"Expected phrases as a list of texts, but got the text {phrases!r}.")
    spans = list(_word_spans(sentence))
    if not spans:
        raise InputError(f"Expected a sentence with words, but got {sentence!r}.")
    for begin, end in _phrase_spans(sentence, phrases, spans):
        inside = [span for span in spans if begin <= span[0] < end]
        first = spans.index(inside[0])
        spans[first : first + len(inside)] = [(begin, end)]
    return tuple(SentenceWord(sentence[begin:end], begin, end) for begin, end in spans)


def _word_spans(sentence: str) -> Iterator[tuple[int, int]]:
    """Yield the first character of each word and the first one after it."""
    begin = 0
    while begin < len(sentence):
        if sentence[begin].isspace():
            begin += 1
            continue
        end = begin + 1
        while end < len(sentence) and _continues(sentence, end):
            end += 1
        yield begin, end
        begin = end


def _continues(sentence: str, index: int) -> bool:
    """Whether the character at `index`, which is not the first, belongs to the word before it."""
    before, character = sentence[index - 1], sentence[index]
    if character.isspace():
        return False
    if _is_mark(character):
        return True
    if character in _JOINERS and _is_between_letters(sentence, index):
        return True
    if before in _JOINERS and _is_between_letters(sentence, index - 1):
        return True
    if _SINGLE_LETTERS.match(character) or _SINGLE_LETTERS.match(_letter_before(sentence, index)):
        return False
    return _is_letter(before) == _is_letter(character)


def _is_between_letters(sentence: str, index: int) -> bool:
    """Whether the characters before and after `index` are both part of words."""
    inside = 0 < index < len(sentence) - 1
    return inside and _is_letter(sentence[index - 1]) and _is_letter(sentence[index + 1])


def _letter_before(sentence: str, index: int) -> str:
    """Return the last character before `index` that is no mark."""
    while index > 1 and _is_mark(sentence[index - 1]):
        index -= 1
    return sentence[index - 1]


def _is_mark(character: str) -> bool:
    """Whether a character changes the one before it, as an accent or a vowel sign does."""
    return category(character).startswith("M")


def _is_letter(character: str) -> bool:
    """Whether a character is part of words and not punctuation or a symbol."""
    return character.isalnum() or character == "_" or _is_mark(character)


def _phrase_spans(
    sentence: str, phrases: Iterable[str], words: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the spans of phrases in the sentence, which begin and end with whole words."""
    begins, ends = {begin for begin, _ in words}, {end for _, end in words}
    phrase_spans: list[tuple[int, int]] = []
    for phrase in phrases:
        text = phrase.strip()
        spans = [
            match.span()
            for match in re.finditer(re.escape(text), sentence)
            if text and match.start() in begins and match.end() in ends
        ]
        if not spans:
            raise InputError(
                f"Expected phrases that occur in the sentence {sentence!r} as whole words, "
                f"but got {phrase!r}."
            )
        phrase_spans += spans
    chosen: list[tuple[int, int]] = []
    for begin, end in sorted(phrase_spans, key=lambda span: (span[0], -span[1])):
        if not chosen or begin >= chosen[-1][1]:
            chosen.append((begin, end))
    return chosen
