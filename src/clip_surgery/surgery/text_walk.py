"""Text walk: features of ALL token positions of a sentence, and which of them a score rests on.

CLIP reads a sentence at its end token alone; the other positions go through the same final norm
and projection here, so that each can be compared with an image (CLIP Surgery, arXiv 2304.05653,
multimodal visualisation). The gradient variant is generic attention (Chefer et al., ICCV 2021,
arXiv 2103.15679) on the text tower: R = I; R <- R + mean_h ReLU(dy/dA * A) R; row of the end token.

Letters: n tokens, E tower width, D joint width, h heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.backbones.tower import Block, TextTower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.surgery.attention import split_heads
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import finish_block, run_block


def walk_text(tower: TextTower, token_ids: Tensor) -> Tensor:
    """The feature of every token of one text, in the joint space: (n, D), not normalised.

    `token_ids` are (n,) as the tower tokenises; in a causal tower what follows the end token may
    be cut off, because no token before it sees that.

    Raises:
        InputError: when token_ids are not (n,), or longer than the context.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> tower = load_backbone("demo").text_tower
        >>> walk_text(tower, tower.tokenize(["a dog"])[0]).shape[0]
        77
    """
    tokens, mask = _entry(tower, token_ids)
    for block in tower.blocks:
        tokens = run_block(block, tokens, mask)
    features: Tensor = tower.project(tokens)[0]
    return features


def text_relevance(
    tower: TextTower, token_ids: Tensor, image: Tensor, *, end: int, depth: int = 1
) -> Tensor:
    """How much each token of a text matters for its cosine with an image: (n,) of 0 or more.

    Args:
        tower: the text tower.
        token_ids: (n,), up to the end token in a causal tower.
        image: the image's feature (D,).
        end: position of the token that carries the text.
        depth: how many of the last blocks are looked at; more than there are means all.

    Raises:
        InputError: when token_ids are not (n,) or too long, or depth is below 1.
        UnsupportedModelError: when no gradient passes.
    """
    if depth < 1:
        raise InputError(f"Expected depth to be 1 block or more, but got {depth}.")
    first = max(0, len(tower.blocks) - depth)
    with torch.inference_mode(False), torch.enable_grad():
        with torch.no_grad():
            tokens, mask = _entry(tower, token_ids)
            for block in tower.blocks[:first]:
                tokens = run_block(block, tokens, mask)
        tokens = tokens.detach().requires_grad_()  # a graph for frozen weights too
        attentions = []
        for block in tower.blocks[first:]:
            tokens, attention = _step(block, tokens, mask)
            attentions.append(attention)
        if not tokens.requires_grad:
            raise UnsupportedModelError("No gradient passes through the text tower's last blocks.")
        # clone: an image feature from inference mode may not enter a graph
        score = cosine(tower.project(tokens)[0, end], image.detach().clone()[None])
        gradients = torch.autograd.grad(score.sum(), attentions)
    row = torch.zeros(tokens.shape[1], device=tokens.device)
    row[end] = 1
    for attention, gradient in zip(reversed(attentions), reversed(gradients), strict=True):
        # only the end token's row of R is carried, from the last block to the first
        row = row + row @ (attention.detach() * gradient).float().relu().mean(dim=1)[0]
    row[end] -= 1  # the identity that R starts from says nothing
    return row


def _entry(tower: TextTower, token_ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """The tokens (1, n, E) of one text, and the mask (n, n) added to attention's logits."""
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


def _step(block: Block, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """One block with its attention matrix (1, h, n, n) built, so that it can be differentiated."""
    query, key, value = (
        split_heads(part, block.attention.heads)
        for part in block.attention.project_in(block.norm_attention(tokens), "qkv")
    )
    logits = query @ key.transpose(-2, -1) * block.attention.scale
    attention = (logits if mask is None else logits + mask).softmax(dim=-1)
    return finish_block(block, tokens, attention @ value), attention
