"""Text towers that are run by the code of their own library: BERT-like towers, and CoCa's.

These towers are not a stack of pre-norm blocks, so that they cannot be split into the parts of a
`TextTower`. Their text features are available, but functions that need the single tokens of a text
raise an UnsupportedModelError.
"""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor, nn

from clip_surgery.backbones.tower import TextTower, Tokenize, TokenMap
from clip_surgery.errors import InputError, UnsupportedModelError


def opaque_text_tower(
    model: nn.Module,
    *,
    encode: TokenMap,
    tokenize: Tokenize,
    context_length: int,
    width: int,
) -> TextTower:
    """Return a TextTower that has no blocks and computes text features with `encode`.

    Args:
        model: the model, whose mode is checked before `encode` is called.
        encode: maps token ids (C, T) to text features (C, D).
        tokenize: the tokenizer.
        context_length: T, the largest number of tokens.
        width: width of a token.
    """

    def encode_in_eval_mode(token_ids: Tensor) -> Tensor:
        if model.training:  # dropout would change the features
            raise InputError(
                f"Expected {type(model).__name__} in eval mode, because dropout would change its "
                "text features: call model.eval()."
            )
        return encode(token_ids)

    def unavailable(token_ids: Tensor, start: int = 0) -> NoReturn:
        raise UnsupportedModelError(
            f"The text tower of {type(model).__name__} is run by its own library, which returns "
            "features of texts but not of their tokens."
        )

    return TextTower(
        tokenize=tokenize,
        embed=unavailable,
        blocks=(),
        project=unavailable,
        end_positions=lambda token_ids: torch.zeros_like(token_ids[:, 0]),
        causal=False,
        context_length=context_length,
        width=width,
        encode=encode_in_eval_mode,
    )
