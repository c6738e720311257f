"""Features of all tokens of a text, and the relevance of each token for a text's score.

CLIP reads a text at its end token only. Here the other tokens go through the same final norm and
projection, so that each of them can be compared with an image (CLIP Surgery, arXiv 2304.05653,
multimodal visualisation). The relevance is generic attention (Chefer et al., ICCV 2021,
arXiv 2103.15679) on the text tower: with the score y and the attention A of a block,

    R = I;   R <- R + mean over heads of ReLU(dy/dA * A) R;   the end token's row of R.

Letters: n tokens, E tower width, D joint width, h heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.backbones.block import finish_block, join_heads, project_tokens, run_block
from clip_surgery.backbones.tower import Block, TextTower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.surgery.features import cosine


def walk_text(tower: TextTower, token_ids: Tensor) -> Tensor:
    """Return the feature of every token of one text in the joint space, not normalised.

    Args:
        tower: the text tower.
        token_ids: (n,) int64 as the tower tokenises, n at most the context length. In a causal
            tower the tokens after the end token may be left out, because no earlier token
            depends on them.

    Returns:
        Features (n, D).

    Raises:
        InputError: if token_ids are not (n,), or more than the context length.
        UnsupportedModelError: if the tower is run by its own library, without single tokens.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> tower = load_backbone("demo").text_tower
        >>> walk_text(tower, tower.tokenize(["a dog"])[0]).shape[0]
        77
    """
    tokens, mask = _embed(tower, token_ids)
    for block in tower.blocks:
        tokens = run_block(block, tokens, mask)
    features: Tensor = tower.project(tokens)[0]
    return features


def text_relevance(
    tower: TextTower, token_ids: Tensor, image: Tensor, *, end: int, depth: int = 1
) -> Tensor:
    """Return how much each token of a text contributes to its cosine with an image.

    Args:
        tower: the text tower.
        token_ids: (n,) int64, up to the end token in a causal tower.
        image: the image's feature (D,).
        end: index of the token at which the model reads the text.
        depth: number of last blocks that are included, at least 1. If it exceeds the number of
            blocks, all are.

    Returns:
        Relevance (n,), float32, 0 or more.

    Raises:
        InputError: if token_ids are not (n,) or too many, or depth is below 1.
        UnsupportedModelError: if no gradient passes through the blocks.
    """
    if depth < 1:
        raise InputError(f"Expected depth to be 1 block or more, but got {depth}.")
    first = max(0, len(tower.blocks) - depth)
    with torch.inference_mode(False), torch.enable_grad():
        with torch.no_grad():
            tokens, mask = _embed(tower, token_ids)
            for block in tower.blocks[:first]:
                tokens = run_block(block, tokens, mask)
        tokens = tokens.detach().requires_grad_()  # a graph for frozen weights too
        attentions = []
        for block in tower.blocks[first:]:
            tokens, attention = _run_with_attention(block, tokens, mask)
            attentions.append(attention)
        if not tokens.requires_grad:
            raise UnsupportedModelError("No gradient passes through the text tower's last blocks.")
        # clone: an image feature from inference mode may not enter a graph
        score = cosine(tower.project(tokens)[0, end], image.detach().clone()[None])
        gradients = torch.autograd.grad(score.sum(), attentions)
    row = torch.zeros(tokens.shape[1], dtype=torch.float32, device=tokens.device)
    row[end] = 1
    for attention, gradient in zip(reversed(attentions), reversed(gradients), strict=True):
        # only the end token's row of R is carried, from the last block to the first
        row = row + row @ (attention.detach() * gradient).float().relu().mean(dim=1)[0]
    row[end] -= 1  # the identity matrix that R starts from
    return row


def _embed(tower: TextTower, token_ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the tokens (1, n, E) of one text, and the mask (n, n) that is added to the logits."""
    if token_ids.ndim != 1 or not 0 < len(token_ids) <= tower.context_length:
        raise InputError(
            f"Expected 1 to {tower.context_length} token ids, but got {tuple(token_ids.shape)}."
        )
    tokens = tower.embed(token_ids[None])
    if not tower.causal:
        return tokens, None
    length = len(token_ids)
    later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
    mask = torch.zeros(length, length, dtype=tokens.dtype, device=tokens.device)
    return tokens, mask.masked_fill(later, float("-inf"))


def _run_with_attention(block: Block, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the output tokens of a block, and its attention (1, h, n, n) as part of the graph."""
    query, key, value = project_tokens(block, tokens)
    logits = query @ key.transpose(-2, -1) * block.attention.scale
    attention = (logits if mask is None else logits + mask).softmax(dim=-1)
    return finish_block(block, tokens, join_heads(attention @ value)), attention
