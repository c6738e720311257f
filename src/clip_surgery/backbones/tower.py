"""The parts of an image or text transformer, as functions over the weights of a loaded model.

An adapter (open_clip, timm, transformers) reads a model and fills these dataclasses; the model is
never changed. The plain forward pass, the two paths of CLIP Surgery and all gradient methods are
written once, over these parts, and so work with every adapter. Single blocks are run by block.py.

Letters: B batch, C texts, N tokens, K prefix tokens (class token and registers), P patches,
T context length, E tower width, D joint width, h heads, d = E / h head width.
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
    """Multi-head attention: project_out(softmax(scale q k^T) v) with q, k, v = project_in(tokens).

    Attributes:
        heads: number of heads h.
        scale: factor on q k^T before the softmax, 1 / sqrt(d) in CLIP.
        project_in: tokens (B, N, E) to query, key and value, each (B, N, E).
        project_out: attended values (B, n, E) to the attention's output (B, n, E).
    """

    heads: int
    scale: float
    project_in: ProjectIn
    project_out: TokenMap


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A pre-norm transformer block: x <- x + attention(norm(x)); x <- x + feed_forward(norm(x)).

    Layer scale, if the model has it, is part of project_out and feed_forward.

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
        """Return tokens (B, n, E) plus the attention output (B, n, E), or the output alone."""
        return tokens + attended if self.residual else attended

    def add_feed_forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (B, n, E) plus feed_forward(norm(tokens)), if the block has one."""
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
        """Return the tower with the blocks for one grid; call this before using `blocks`."""
        if self.blocks_at is None:
            return self
        return replace(self, blocks=self.blocks_at(grid), blocks_at=None)

    def grid(self, pixels: Tensor) -> PatchGrid:
        """Return rows and columns of the patches of pixels (B, 3, H, W)."""
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
