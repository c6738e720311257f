"""Words: which words of a sentence an image shows, and where each of them is.

Source: CLIP Surgery (arXiv 2304.05653), multimodal visualisation: every token of the sentence is
compared with the image feature, and has a map of its own. What differs: tokens are joined to the
words people wrote, and the start and end tokens, which often rank high, are told apart.
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
    """Explain an image for every word of a sentence; templates are not used.

    A word's feature is the mean of its tokens' unit features, and its map is the explainer's
    method for that feature: with feature surgery, what all words of the sentence share is taken
    out. Scores are cosines with the image feature, or, with evidence="gradient", what generic
    attention on the last `depth` blocks of the text tower gives each word's tokens together.

    Raises:
        InputError: when the image cannot be used, there is no word, or there are more tokens
            than the context holds (unless the explainer truncates).
        UnknownNameError: for other evidence.
        UnsupportedModelError: when the text tower does not show its tokens (BERT's, CoCa's).

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> found = words(load("demo"), Image.radial_gradient("L"), "a clock and a boat")
        >>> found.words
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
    """The unit feature (D,) of the empty sentence."""
    tower = backbone.text_tower
    ids = tower.tokenize([""])
    end = int(tower.end_positions(ids)[0])
    length = end + 1 if tower.causal else ids.shape[1]
    feature = walk_text(tower, ids[0, :length].to(backbone.device))[end]
    return F.normalize(feature.float(), dim=-1)


def _parts(
    tokens: SentenceTokens,
) -> tuple[tuple[str, ...], tuple[WordKind, ...], list[tuple[int, int]]]:
    """Names, kinds and token spans of start, words and end."""
    entries: list[tuple[str, WordKind, tuple[int, int]]] = []
    if tokens.start:
        entries.append((START, "start", (0, tokens.start)))
    entries += [(word.text, "word", (word.begin, word.end)) for word in tokens.words]
    entries.append((END, "end", (tokens.end, tokens.end + 1)))
    names, kinds, spans = zip(*entries, strict=True)
    return names, kinds, list(spans)
