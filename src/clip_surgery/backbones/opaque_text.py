"""Text towers that are run by their own library: BERT's kin, and CoCa's with its class token.

They are no stack of pre-norm blocks, so their parts are not shown. The text features are the
model's own; what needs single tokens of a text says that it has none to read.
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
    """Build a TextTower without parts around `encode`, token ids (C, T) to features (C, D).

    Gradients flow as far as `encode` lets them.
    """

    def encode_as_it_is(token_ids: Tensor) -> Tensor:
        if model.training:  # its dropout could not be kept out of the features
            raise InputError(
                f"Expected {type(model).__name__} in eval mode, because its text tower is run as "
                "it is: call model.eval()."
            )
        return encode(token_ids)

    def unread(token_ids: Tensor, start: int = 0) -> NoReturn:
        raise UnsupportedModelError(
            f"The text tower of {type(model).__name__} is run by its own library: "
            "its features can be had, its tokens cannot."
        )

    return TextTower(
        tokenize=tokenize,
        embed=unread,
        blocks=(),
        project=unread,
        end_positions=lambda token_ids: torch.zeros_like(token_ids[:, 0]),
        causal=False,
        context_length=context_length,
        width=width,
        encode=encode_as_it_is,
    )
