"""Explanations of the words of a sentence: which words an image shows, and where.

Sources: contributions are Banzhaf values by deletion of words (see `text.word_directions`).
Similarity and gradient are the multimodal visualisation of CLIP Surgery (arXiv 2304.05653), in
which every token of the sentence is compared with the image feature and has a map. Differences from
the paper: tokens are combined to words, and the start and end tokens, which often have high scores,
are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.deferred_tensor import replaced
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.similarity_split import (
    image_parts,
    sentence_parts,
    split_similarity,
)
from clip_surgery.surgery.text_walk import text_relevance, walk_text
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.decompose import decompose
from clip_surgery.text.features import TextFeatures
from clip_surgery.text.word_directions import WordDirections, variance_shares, word_directions
from clip_surgery.text.word_tokens import SentenceTokens, tokenize_words
from clip_surgery.word_explanation import WordExplanation, WordKind

WordMaps = Literal["method", "patches"]
WordEvidence = Literal["contribution", "similarity", "gradient"]
START, END = "[start]", "[end]"


def words(
    explainer: Explainer,
    image: ImageSource,
    sentence: str,
    *,
    evidence: WordEvidence = "contribution",
    phrases: Sequence[str] = (),
    depth: int = 1,
    maps: WordMaps = "method",
) -> WordExplanation:
    """Return an explanation of one image for every word of a sentence, without templates.

    Args:
        explainer: the model and the method of the maps.
        image: the image.
        sentence: the sentence, in any language.
        evidence: the kind of the scores. "contribution": how much a word changes the cosine of
            sentence and image on average over sentences with other words deleted. This works with
            every text tower and costs at most 256 short texts. "similarity": the cosine of the
            word's tokens and the image. "gradient": relevance by generic attention.
        phrases: parts of the sentence that count as one word each, for example "red car". Without
            them, words end at white space and punctuation; in scripts that are written without
            spaces, each character is a word.
        depth: number of last blocks of the text tower that evidence "gradient" reads, at least 1.
        maps: the kind of the maps of contributions. "method": what the word contributes to the
            cosine with each patch, by the explainer's method. "patches": what each patch adds to
            the word's own score (see `explain_match`); these maps and a rest sum up to the scores,
            and their peak is on the object more often.

    Returns:
        The explanation of the W words. With "contribution" the map of a word is what it contributes
        to the cosine with each patch, by the patch features of the explainer's method without
        feature surgery, or else the method's map for the direction of the word. Otherwise a map is
        the method's for the mean feature of the word's tokens, and the start and end tokens are
        included.

    Raises:
        InputError: if the image cannot be used, the sentence has no word or more tokens than the
            context length (unless the explainer truncates), or a phrase does not occur in it.
        UnknownNameError: if the evidence is unknown.
        UnsupportedModelError: if evidence is "similarity" or "gradient" and the text tower gives
            features of whole texts only (BERT's, CoCa's), or if maps are "patches" and the image
            feature is no sum over patches (see `decompose`).

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = words(load("demo"), Image.radial_gradient("L"), "a clock and a boat")
        >>> explanation.words
        ('a', 'clock', 'and', 'a', 'boat')
    """
    if evidence not in get_args(WordEvidence):
        raise UnknownNameError.among("evidence", evidence, get_args(WordEvidence))
    if depth < 1:
        raise InputError(f"Expected depth to be 1 block or more, but got {depth}.")
    if maps not in get_args(WordMaps):
        raise UnknownNameError.among("kind of maps", maps, get_args(WordMaps))
    if maps == "patches" and evidence != "contribution":
        raise InputError(f'Expected maps="method" with evidence={evidence!r}, but got "patches".')
    input_image = read_image(image)
    if evidence == "contribution":
        return _by_contribution(explainer, input_image, sentence, phrases, maps)
    return _by_tokens(explainer, input_image, sentence, phrases, evidence=evidence, depth=depth)


def _by_contribution(
    explainer: Explainer,
    image: InputImage,
    sentence: str,
    phrases: Sequence[str],
    maps: WordMaps,
) -> WordExplanation:
    """Return scores and maps of the directions of the words."""
    encoded_words = word_directions(
        explainer.backbone, sentence, phrases=phrases, truncate=explainer.truncate
    )
    lengths = encoded_words.directions.norm(dim=-1).cpu()  # (W,)
    explanation, cosines = _explain_directions(explainer, image, encoded_words)
    scores = explanation.image_scores[0] * lengths
    patch_scores = explanation.patch_scores[0] * lengths[:, None, None]
    if maps == "patches":
        decomposed = decompose(explainer, image)
        query = sentence_parts(encoded_words.directions.cpu(), encoded_words.features[-1].cpu())
        split = split_similarity(query, image_parts(decomposed))
        patch_scores = decomposed.grid.to_map(split.pairs)
    return WordExplanation(
        sentence=sentence,
        explanation=replaced(explanation, patch_scores=(patch_scores,), image_scores=scores[None]),
        kinds=tuple("word" for _ in lengths),
        scores=scores,
        evidence="contribution",
        variance_shares=variance_shares(scores, cosines),
    )


def _explain_directions(
    explainer: Explainer, image: InputImage, encoded_words: WordDirections
) -> tuple[Explanation, Tensor]:
    """Return the explanation for the unit directions of the words, and the cosines (M,).

    The cosines are those of the masked sentences with the image.
    """
    names = tuple(word.text for word in encoded_words.words)
    unit = F.normalize(encoded_words.directions, dim=-1)
    empty = encoded_words.features[0]
    if not isinstance(explainer.method, DenseMethod):
        texts = TextFeatures(texts=names, labels=unit, empty=empty)
        with torch.no_grad():
            feature = walk(explainer.backbone.tower, explainer.pixels(image)).image[0]
        cosines = cosine(encoded_words.features, feature[None])[:, 0]
        return explainer.explain_images([image], texts), cosines
    # A direction is a difference of sentences, so that what all texts share cancels in it.
    # The masked sentences are texts too, so that the image tower runs only once.
    explainer = explainer.with_method(replace(explainer.method, redundancy="none"))
    sentences = tuple(f"masked sentence {index}" for index in range(len(encoded_words.features)))
    labels = torch.cat([unit, encoded_words.features])
    explanation = explainer.explain_images(
        [image], TextFeatures(texts=(*names, *sentences), labels=labels, empty=empty)
    )
    return _first_texts(explanation, len(names)), explanation.image_scores[0, len(names) :]


def _first_texts(explanation: Explanation, count: int) -> Explanation:
    """Return the explanation of one image for its first texts."""
    similarity = explanation.similarity
    return replace(
        explanation,
        texts=explanation.texts[:count],
        patch_scores=(explanation.patch_scores[0][:count].clone(),),
        similarity=None if similarity is None else (similarity[0][:count].clone(),),
        image_scores=explanation.image_scores[:, :count],
    )


def _by_tokens(
    explainer: Explainer,
    image: InputImage,
    sentence: str,
    phrases: Sequence[str],
    *,
    evidence: WordEvidence,
    depth: int,
) -> WordExplanation:
    """Return scores and maps of the mean features of the tokens of each word."""
    backbone = explainer.backbone
    tokens = tokenize_words(
        backbone.text_tower, sentence, phrases=phrases, truncate=explainer.truncate
    )
    ids = tokens.ids.to(backbone.device)
    names, kinds, spans = _parts(tokens)
    with torch.no_grad():
        features = F.normalize(walk_text(backbone.text_tower, ids).float(), dim=-1)  # (n, D)
        empty = _empty(backbone)
    rows = torch.stack([features[begin:end].mean(dim=0) for begin, end in spans])
    explanation = explainer.explain_images(
        [image], TextFeatures(texts=names, labels=F.normalize(rows, dim=-1), empty=empty)
    )
    scores = explanation.image_scores[0]
    if evidence == "gradient":
        with torch.no_grad():
            feature = walk(backbone.tower, explainer.pixels(image)).image[0]
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
    """Return the names, kinds and token spans of the start token, the words and the end token."""
    entries: list[tuple[str, WordKind, tuple[int, int]]] = []
    if tokens.start:
        entries.append((START, "start", (0, tokens.start)))
    entries += [(word.text, "word", (word.begin, word.end)) for word in tokens.words]
    entries.append((END, "end", (tokens.end, tokens.end + 1)))
    names, kinds, spans = zip(*entries, strict=True)
    return names, kinds, list(spans)
