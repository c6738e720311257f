"""Explanations of the words of a sentence: which words an image shows, and where.

Source: CLIP Surgery (arXiv 2304.05653), multimodal visualisation: every token of the sentence is
compared with the image feature, and has a map of its own. What differs: tokens are joined to the
words of the sentence, and the start and end tokens, which often rank high, are marked.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.surgery.text_walk import text_relevance, walk_text
from clip_surgery.surgery.walk import walk
from clip_surgery.text.features import TextFeatures
from clip_surgery.text.word_tokens import SentenceTokens, tokenize_words
from clip_surgery.word_explanation import WordExplanation, WordKind

WordEvidence = Literal["similarity", "gradient"]
START, END = "[start]", "[end]"


def words(
    explainer: Explainer,
    image: ImageSource,
    sentence: str,
    *,
    evidence: WordEvidence = "similarity",
    depth: int = 1,
) -> WordExplanation:
    """Return an explanation of one image for every word of a sentence, without templates.

    The feature of a word is the mean of its tokens' unit features, and its map is that of the
    explainer's method for this feature.

    Args:
        explainer: the model and its method.
        image: the image.
        sentence: the sentence.
        evidence: what the scores of words are. "similarity": cosines with the image feature.
            "gradient": the relevance of the word's tokens by generic attention on the last `depth`
            blocks of the text tower.
        depth: number of blocks for "gradient", 1 or more.

    Raises:
        InputError: if the image cannot be used, there is no word, or there are more tokens than
            the model accepts (unless the explainer truncates).
        UnknownNameError: if the evidence is unknown.
        UnsupportedModelError: if the tokens of the text tower cannot be read (BERT, CoCa).

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = words(load("demo"), Image.radial_gradient("L"), "a clock and a boat")
        >>> explanation.words
        ('[start]', 'a', 'clock', 'and', 'a', 'boat', '[end]')
    """
    if evidence not in get_args(WordEvidence):
        raise UnknownNameError.among("evidence", evidence, get_args(WordEvidence))
    if depth < 1:
        raise InputError(f"Expected depth to be 1 block or more, but got {depth}.")
    picture = read_image(image)
    backbone = explainer.backbone
    tokens = tokenize_words(backbone.text_tower, sentence, truncate=explainer.truncate)
    ids = tokens.ids.to(backbone.device)
    names, kinds, spans = _parts(tokens)
    with torch.no_grad():
        features = F.normalize(walk_text(backbone.text_tower, ids).float(), dim=-1)  # (n, D)
        empty = _empty(backbone)
    rows = torch.stack([features[begin:end].mean(dim=0) for begin, end in spans])
    explanation = explainer.explain_images(
        [picture],
        TextFeatures(texts=names, labels=F.normalize(rows, dim=-1), empty=empty),
    )
    scores = explanation.image_scores[0]
    if evidence == "gradient":
        pixels = explainer.pixels(picture)
        with torch.no_grad():
            feature = walk(backbone.tower, pixels).image[0]
        relevance = text_relevance(backbone.text_tower, ids, feature, end=tokens.end, depth=depth)
        scores = torch.stack([relevance[begin:end].sum() for begin, end in spans]).cpu()
    return WordExplanation(
        sentence=sentence, explanation=explanation, kinds=kinds, scores=scores, evidence=evidence
    )


def _empty(backbone: Backbone) -> Tensor:
    """Return the unit feature (D,) of the empty sentence."""
    tower = backbone.text_tower
    ids = tower.tokenize([""])
    end = int(tower.end_positions(ids)[0])
    length = end + 1 if tower.causal else ids.shape[1]
    feature = walk_text(tower, ids[0, :length].to(backbone.device))[end]
    return F.normalize(feature.float(), dim=-1)


def _parts(
    tokens: SentenceTokens,
) -> tuple[tuple[str, ...], tuple[WordKind, ...], list[tuple[int, int]]]:
    """Return names, kinds and token spans of the start, the words and the end."""
    entries: list[tuple[str, WordKind, tuple[int, int]]] = []
    if tokens.start:
        entries.append((START, "start", (0, tokens.start)))
    entries += [(word.text, "word", (word.begin, word.end)) for word in tokens.words]
    entries.append((END, "end", (tokens.end, tokens.end + 1)))
    names, kinds, spans = zip(*entries, strict=True)
    return names, kinds, list(spans)
