"""Towers as values: the parts of an image or text transformer, shown, never changed.

An adapter reads a model and fills these dataclasses with functions over its weights. Everything
else (plain forward, two paths, gradient methods) is a walk over the parts, so M methods and
N models need M + N pieces of code. Letters: B batch, N tokens, K prefix tokens (class token and
registers), P patches, E tower width, D joint width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from torch import Tensor

from clip_surgery.grid import PatchGrid

TokenMap = Callable[[Tensor], Tensor]


class ProjectIn(Protocol):
    """Tokens (B, N, E) to the named parts of query, key and value, each (B, N, E)."""

    def __call__(self, tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        """`parts` is any of "q", "k", "v" in that order, such as "qkv", "kv" or "v"."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """One attention: its projections, number of heads and scale (1/sqrt(head width) in CLIP)."""

    heads: int
    scale: float
    project_in: ProjectIn
    project_out: TokenMap


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """One pre-norm transformer block; layer scale, if any, is inside project_out/feed_forward.

    Attributes:
        norm_attention: the norm before attention; the identity where there is none.
        attention: the attention itself.
        norm_feed_forward: the norm before the feed-forward.
        feed_forward: the feed-forward, or None where the block has none.
        residual: whether the tokens are added to what attention gives. A ResNet's attention pool
            is a block without residual and without feed-forward.
    """

    norm_attention: TokenMap
    attention: Attention
    norm_feed_forward: TokenMap
    feed_forward: TokenMap | None
    residual: bool = True

    def add_attended(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Tokens (B, n, E) with what attention gave them, after its out-projection."""
        return tokens + attended if self.residual else attended

    def add_feed_forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, n, E) plus the feed-forward of their norm."""
        if self.feed_forward is None:
            return tokens
        return tokens + self.feed_forward(self.norm_feed_forward(tokens))


@dataclass(frozen=True, kw_only=True, eq=False)
class Tower:
    """An image tower.

    Attributes:
        embed: pixels (B, 3, H, W) to tokens (B, N, E), position embeddings for any whole number
            of patches included, input norm included.
        blocks: the blocks in order, for images of the native size where that matters.
        project: tokens (B, n, E) after the last block to the joint space (B, n, D).
        pool: tokens (B, N, E) after the last block to the image feature (B, D), exactly the
            model's own.
        pool_reads: "prefix" when `pool` uses the prefix tokens only, "all" when it uses patches.
        prefix_tokens: K, the tokens before the patches (0 for SigLIP).
        patch_size: side of a patch in pixels.
        width: E.
        blocks_at: the blocks for a grid of patches, where attention itself knows the positions
            (rotary embeddings), else None.
    """

    embed: TokenMap
    blocks: tuple[Block, ...]
    project: TokenMap
    pool: TokenMap
    pool_reads: Literal["prefix", "all"]
    prefix_tokens: int
    patch_size: int
    width: int
    blocks_at: Callable[[PatchGrid], tuple[Block, ...]] | None = None

    @property
    def attention_pool(self) -> bool:
        """Whether the last block is a ResNet's attention pool: no residual, no feed-forward."""
        return bool(self.blocks) and not self.blocks[-1].residual

    def at(self, grid: PatchGrid) -> Tower:
        """The same tower for images of one grid; a walk asks for it before it reads blocks."""
        if self.blocks_at is None:
            return self
        return replace(self, blocks=self.blocks_at(grid), blocks_at=None)

    def grid(self, pixels: Tensor) -> PatchGrid:
        """The patch grid of pixels (B, 3, H, W)."""
        height, width = pixels.shape[-2:]
        return PatchGrid(rows=height // self.patch_size, columns=width // self.patch_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextTower:
    """A text tower.

    Attributes:
        tokenize: texts to token ids (C, T) int64, T the context length, padded; raises
            InputError for a text that is too long unless `truncate` is true.
        embed: token ids (C, n) and the position of the first one to tokens (C, n, E); a prefix
            of the context may be embedded alone, and a continuation may start later.
        blocks: the blocks in order.
        project: tokens (C, n, E) after the last block to the joint space (C, n, D).
        end_positions: token ids (C, T) to the index (C,) of the token that carries the text.
        causal: whether a token sees earlier tokens only; then nothing after the end token
            matters, texts can be cut to the longest and prefixes shared.
        context_length: T.
        width: E.
        encode: token ids (C, T) to text features (C, D) by the model's own library, for towers
            that are no stack of pre-norm blocks (BERT's, CoCa's); then `blocks` is empty, and
            `embed` and `project` raise UnsupportedModelError.
    """

    tokenize: Tokenize
    embed: EmbedTokens
    blocks: tuple[Block, ...]
    project: TokenMap
    end_positions: TokenMap
    causal: bool
    context_length: int
    width: int
    encode: TokenMap | None = None


class Tokenize(Protocol):
    """Texts to token ids (C, T)."""

    def __call__(self, texts: list[str], *, truncate: bool = False) -> Tensor:
        """Raises InputError for a text over the context length, unless `truncate`."""
        ...


class EmbedTokens(Protocol):
    """Token ids (C, n) to tokens (C, n, E), positions from `start` on added."""

    def __call__(self, token_ids: Tensor, start: int = 0) -> Tensor:
        """Embed token ids that stand at positions start, start + 1, ... of the context."""
        ...
