"""What each word adds to the feature of a sentence, by deletion of words.

With g(Z) the unit feature of the sentence in which only the words of the set Z are left, the
direction of word j is

    d_j = mean of g(Z) over sets with j - mean of g(Z) over sets without j.

For an image with unit feature f, the cosine with a sentence is linear in g, so that f . d_j is
exactly the Banzhaf value of the word: how much the word changes the cosine on average, if every
other word is present or absent with equal probability. The same holds for each patch. The
directions are the coefficients of the least-squares fit of g by the presence of the words.

Up to 8 words, all 2^W sets are used. For more words, a fractional factorial design of 256 sets
takes their place: each word is present if an odd number of certain bits of the set's number is set.
Every word has an odd number of bits, different from those of all others, so that every word is in
half of the sets, every two words are independent, and no interaction of two words changes a
direction (resolution IV; Box and Hunter, "The 2^(k-p) Fractional Factorial Designs", 1961).

Letters: W words, M sets, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import TextTower
from clip_surgery.errors import InputError
from clip_surgery.text.prefixes import encode_prompts
from clip_surgery.text.sentence_words import SentenceWord, split_words

BITS = 8
"""The logarithm of the largest number of sets, 256."""

MAX_WORDS = 2 ** (BITS - 1)
"""The number of ways in which a word can have an odd number of bits."""

_NO_EFFECT = 1e-6  # length of a direction that is rounding error only


@dataclass(frozen=True, kw_only=True, eq=False)
class WordDirections:
    """What each of W words adds to the feature of a sentence.

    Attributes:
        words: the words.
        directions: (W, D), float32. A word that changes nothing has zeros.
        presence: (M, W) bool, which words each masked sentence has.
        features: (M, D), unit features of the masked sentences, float32.
    """

    words: tuple[SentenceWord, ...]
    directions: Tensor
    presence: Tensor
    features: Tensor


def word_directions(
    backbone: Backbone, sentence: str, *, phrases: Sequence[str] = (), truncate: bool = False
) -> WordDirections:
    """Return what each word of a sentence adds to its feature, for any text tower.

    Args:
        backbone: the model.
        sentence: the sentence, in any language.
        phrases: parts of the sentence that count as one word each (see `split_words`).
        truncate: whether a sentence over the context length is cut; otherwise it is refused. Words
            that are cut off are left out.

    Raises:
        InputError: if the sentence has no word, more than `MAX_WORDS`, or more tokens than the
            context length and `truncate` is False, or if a phrase does not occur in it.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> directions = word_directions(load_backbone("demo"), "a red car", phrases=["red car"])
        >>> [word.text for word in directions.words], len(directions.features)
        (['a', 'red car'], 4)
    """
    tower = backbone.text_tower
    words = _read_words(tower, sentence, split_words(sentence, phrases), truncate=truncate)
    if len(words) > MAX_WORDS:
        raise InputError(
            f"Expected at most {MAX_WORDS} words, but got {len(words)}: join words to phrases."
        )
    presence = presence_design(len(words))
    prompts = [without_words(sentence, words, row) for row in presence.tolist()]
    # Sets that agree in their first half of bits agree in the first words, so that they are
    # prompts of one template, whose prefix is computed once.
    templates = 2 ** (min(len(words), BITS) // 2)
    ids = tower.tokenize(prompts, truncate=True).to(backbone.device)
    with torch.no_grad(), torch.autocast(backbone.device.type, enabled=False):
        encoded = encode_prompts(tower, ids.view(-1, templates, ids.shape[-1]))
    features = normalize(encoded.flatten(0, 1).float(), dim=-1)  # (M, D)
    signs = presence.to(features.device) * 2.0 - 1.0
    directions = signs.T @ features * (2 / len(features))
    directions[directions.norm(dim=-1) < _NO_EFFECT] = 0
    return WordDirections(words=words, directions=directions, presence=presence, features=features)


def variance_shares(scores: Tensor, cosines: Tensor) -> Tensor:
    """Return the share of the variance of the sentence's cosine that each word explains.

    The words are independent over the masked sentences, so that the sum of the shares is the R2 of
    the additive fit.

    Args:
        scores: the contributions of the words (W,), the image's unit feature times `directions`.
        cosines: the cosines of the masked sentences with the image (M,).

    Returns:
        Shares (W,) in [0, 1], float32. Zeros if no word changes the cosine.

    Example:
        >>> cosines = torch.tensor([0.0, 0.25, 0.0, 0.25])  # only the first of two words counts
        >>> variance_shares(torch.tensor([0.25, 0.0]), cosines).tolist()
        [1.0, 0.0]
    """
    variance = cosines.double().var(correction=0)
    if variance <= _NO_EFFECT**2:
        return torch.zeros_like(scores)
    # the variance of a value that is c with probability 1/2 and otherwise 0 is c^2 / 4
    shares: Tensor = scores.double().square() / (4 * variance)
    return shares.clamp(max=1.0).float()


def presence_design(words: int) -> Tensor:
    """Return the words (M, W) that are present in each of the M sets, as bool.

    Bit b of the number of a set says whether word b is present, for the first 8 words.

    Args:
        words: number of words, from 1 to `MAX_WORDS`.

    Example:
        >>> presence_design(2).int().tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    bits = min(words, BITS)
    rows = [[(row & code).bit_count() % 2 == 1 for code in _codes(words)] for row in range(2**bits)]
    return torch.tensor(rows)


@cache
def _codes(words: int) -> tuple[int, ...]:
    """Return the bits of each word: one bit for the first 8 words, then an odd number.

    Each further code is the one whose shortest relation with other words is longest: words whose
    codes add up to zero (bit by bit, modulo 2) determine each other, so that one of them cannot be
    told from the interaction of the others.
    """
    codes = [1 << bit for bit in range(min(words, BITS))]
    candidates = [code for code in range(2**BITS) if code.bit_count() % 2 and code.bit_count() > 1]
    fewest = {0: 0}  # for each sum of further codes, the smallest number of codes that give it
    while len(codes) < words:
        lengths = [
            min(count + 1 + (total ^ code).bit_count() for total, count in fewest.items())
            for code in candidates
        ]
        code = candidates.pop(lengths.index(max(lengths)))
        codes.append(code)
        for total, count in list(fewest.items()):
            fewest[total ^ code] = min(count + 1, fewest.get(total ^ code, count + 1))
    return tuple(codes)


def without_words(sentence: str, words: Sequence[SentenceWord], present: Sequence[bool]) -> str:
    """Return the sentence with only those words that are present.

    A word is deleted together with the white space before it.

    Example:
        >>> words = split_words("a dog, running")
        >>> without_words("a dog, running", words, [True, False, True, True])
        'a, running'
    """
    begins = [0, *(word.end for word in words[:-1])]
    pieces = zip(begins, words, present, strict=True)
    return "".join(sentence[begin : word.end] for begin, word, kept in pieces if kept).strip()


def _read_words(
    tower: TextTower, sentence: str, words: Sequence[SentenceWord], *, truncate: bool
) -> tuple[SentenceWord, ...]:
    """Return the words that are not cut off at the context length.

    Raises:
        InputError: if the sentence is over the context length and `truncate` is False.
    """
    try:
        tower.tokenize([sentence])
        return tuple(words)
    except InputError:
        if not truncate:
            raise
    whole = tower.tokenize([sentence], truncate=True)
    before = tower.tokenize([sentence[: word.begin] for word in words], truncate=True)
    # Text that is as long as the context already has the same tokens as the whole sentence.
    cut = (before == whole).all(dim=1).tolist()
    first_cut = next((index for index, is_cut in enumerate(cut) if is_cut and index), len(words))
    return tuple(words[:first_cut])
