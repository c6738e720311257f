"""The demo's architecture in plain torch: a small CLIP with the layout of open_clip's models.

Parameters and submodules have the names that they have in `open_clip.CLIP`, so that the weights
load into either class and one adapter reads both. The class exists because `import open_clip` takes
longer than everything else that the demo does: it also imports torchvision, transformers and
torch's compiler.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class QuickGelu(nn.Module):
    """The activation of OpenAI's models: x sigmoid(1.702 x)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the activation, elementwise."""
        scaled = 1.702 * tokens
        if torch.is_grad_enabled():
            return tokens * torch.sigmoid(scaled)
        return scaled.sigmoid_().mul_(tokens)  # the same numbers without two more large tensors


class VisionConfig(NamedTuple):
    """Sizes of the image tower: side of the image and of a patch in pixels, width, blocks."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    head_width: int = 64


class TextConfig(NamedTuple):
    """Sizes of the text tower."""

    context_length: int
    vocab_size: int
    width: int
    heads: int
    layers: int


class ResidualBlock(nn.Module):
    """Attention and feed-forward, each with a norm before and a residual connection around it."""

    def __init__(self, width: int, heads: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ls_1 = nn.Identity()  # the layer scale of open_clip's block, which this model lacks
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=activation(),
                c_proj=nn.Linear(4 * width, width),
            )
        )
        self.ls_2 = nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the tokens (B, N, D) after the block."""
        normed = self.ln_1(tokens)
        mask = None if mask is None else mask.to(normed.dtype)
        attended = self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        tokens = tokens + attended
        result: Tensor = tokens + self.mlp(self.ln_2(tokens))
        return result


class Transformer(nn.Module):
    """Residual blocks, one after the other."""

    def __init__(self, width: int, layers: int, heads: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, heads, activation) for _ in range(layers)
        )

    def get_cast_dtype(self) -> torch.dtype:
        """Return the dtype in which the blocks compute."""
        return next(self.parameters()).dtype

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the tokens (B, N, D) after all blocks."""
        for block in self.resblocks:
            tokens = block(tokens, mask)
        return tokens


class ImageTower(nn.Module):
    """A vision transformer whose image feature is its class token, as in OpenAI's CLIP."""

    attn_pool = None
    pool_type = "tok"
    final_ln_after_pool = False

    def __init__(self, sizes: VisionConfig, embed_dim: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.image_size = (sizes.image_size, sizes.image_size)
        self.output_dim = embed_dim
        grid = sizes.image_size // sizes.patch_size
        self.conv1 = nn.Conv2d(3, sizes.width, sizes.patch_size, sizes.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(sizes.width))
        self.positional_embedding = nn.Parameter(torch.zeros(grid**2 + 1, sizes.width))
        self.ln_pre = nn.LayerNorm(sizes.width)
        heads = sizes.width // sizes.head_width
        self.transformer = Transformer(sizes.width, sizes.layers, heads, activation)
        self.ln_post = nn.LayerNorm(sizes.width)
        self.proj = nn.Parameter(torch.zeros(sizes.width, embed_dim))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return image features (B, D) of normalised pixels (B, 3, H, W) of the native size."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)  # (B, P, width)
        class_token = self.class_embedding.expand(len(pixels), 1, -1)
        tokens = torch.cat([class_token, patches], dim=1) + self.positional_embedding
        class_token = self.transformer(self.ln_pre(tokens))[:, 0]
        feature: Tensor = self.ln_post(class_token) @ self.proj
        return feature


class DemoClip(nn.Module):
    """A CLIP of a vision transformer and a causal text transformer.

    Args:
        embed_dim: width D of the joint space.
        vision: sizes of the image tower.
        text: sizes of the text tower.
        quick_gelu: use OpenAI's activation instead of GELU.

    Example:
        >>> sizes = VisionConfig(image_size=32, patch_size=8, width=32, layers=2, head_width=16)
        >>> text = TextConfig(context_length=77, vocab_size=100, width=32, heads=2, layers=1)
        >>> DemoClip(24, sizes, text).encode_image(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 24])
    """

    text_pool_type = "argmax"

    @classmethod
    def of(cls, config: dict[str, Any]) -> DemoClip:
        """Return a model of the sizes in a configuration, `model_cfg` of open_clip's format.

        Raises:
            TypeError: if a size is missing, unknown or of the wrong type.
        """
        sizes = dict(config)
        vision = VisionConfig(**sizes.pop("vision_cfg"))
        text = TextConfig(**sizes.pop("text_cfg"))
        return cls(vision=vision, text=text, **sizes)

    def __init__(
        self, embed_dim: int, vision: VisionConfig, text: TextConfig, *, quick_gelu: bool = False
    ) -> None:
        super().__init__()
        activation = QuickGelu if quick_gelu else nn.GELU
        self.context_length = text.context_length
        self.text_eos_id = text.vocab_size - 1
        self.visual = ImageTower(vision, embed_dim, activation)
        self.transformer = Transformer(text.width, text.layers, text.heads, activation)
        self.token_embedding = nn.Embedding(text.vocab_size, text.width)
        self.positional_embedding = nn.Parameter(torch.zeros(text.context_length, text.width))
        self.ln_final = nn.LayerNorm(text.width)
        self.text_projection = nn.Parameter(torch.zeros(text.width, embed_dim))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        causal = torch.full((text.context_length, text.context_length), -math.inf).triu(1)
        self.attn_mask: Tensor
        self.register_buffer("attn_mask", causal, persistent=False)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return image features (B, D) of normalised pixels (B, 3, H, W) of the native size."""
        features: Tensor = self.visual(pixels)
        return features

    def encode_text(self, token_ids: Tensor) -> Tensor:
        """Return text features (C, D) of token ids (C, context_length)."""
        tokens = self.token_embedding(token_ids) + self.positional_embedding
        tokens = self.ln_final(self.transformer(tokens, self.attn_mask))
        ends = token_ids.argmax(dim=-1)  # the end token has the highest id
        features: Tensor = tokens[torch.arange(len(tokens)), ends] @ self.text_projection
        return features
