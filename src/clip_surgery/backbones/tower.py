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
"""A function of one tensor; its user documents the shapes."""


class ProjectIn(Protocol):
    """The interface of functions that map tokens to query, key and value."""

    def __call__(self, tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        """Return the wanted parts for tokens (B, N, E), each (B, N, E).

        Args:
            tokens: normed tokens (B, N, E).
            parts: the wanted parts, "q", "k" and "v" in this order, such as "qkv", "kv" or "v".
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """Multi-head attention: project_out(softmax(scale q k^T) v) with q, k, v = project_in(tokens).

    Attributes:
        heads: number of heads h.
        scale: factor on q k^T before the softmax, 1 / sqrt(d) in CLIP.
        project_in: maps tokens (B, N, E) to query, key and value, each (B, N, E).
        project_out: maps attended values (B, n, E) to the output of attention (B, n, E).
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
        norm_attention: the norm before attention; the identity if there is none.
        attention: the attention.
        norm_feed_forward: the norm before the feed-forward network.
        feed_forward: the feed-forward network, or None if the block has none.
        residual: whether the input tokens are added to the output of attention. The attention pool
            of a ResNet is a block without residual and without feed-forward network.
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
class LatentPool:
    """An attention pool: R learnt queries attend to the last tokens, and their output is the image.

    With a = softmax(q key(norm(x))^T / sqrt(d)) value(norm(x)) and y = project_out(a), the image
    feature is the mean over the queries of to_joint(y + feed_forward(y)). It is run by
    latent_pool.py.

    Attributes:
        heads: number of heads h.
        queries: returns the projected learnt queries (R, E).
        norm: maps tokens (B, N, E) after the last block to the tokens that are pooled.
        key: maps normed tokens (B, N, E) to keys (B, N, E).
        value: maps normed tokens (B, N, E) to values (B, N, E).
        project_out: maps attended values (B, n, E) to the output of attention (B, n, E).
        feed_forward: maps this output to what is added to it (B, n, E), or None.
        to_joint: maps the sum (B, n, E) to the joint space (B, n, D).
        first_token: number of first tokens that are not pooled.
    """

    heads: int
    queries: Callable[[], Tensor]
    norm: TokenMap
    key: TokenMap
    value: TokenMap
    project_out: TokenMap
    feed_forward: TokenMap | None
    to_joint: TokenMap
    first_token: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Tower:
    """An image tower.

    Attributes:
        embed: maps normalised pixels (B, 3, H, W) to tokens (B, N, E) before the first block.
            Position embeddings, for any whole number of patches, and the input norm are included.
        blocks: the blocks in order. If `blocks_at` is given, they are those for the native grid.
        project: maps tokens (B, n, E) after the last block to the joint space (B, n, D).
        pool: maps tokens (B, N, E) after the last block to the image feature (B, D), exactly as
            the model does.
        pool_reads: "prefix" if `pool` uses the prefix tokens only, "all" if it uses patches.
        prefix_tokens: K, the number of tokens before the patches (0 for SigLIP).
        patch_size: side of a patch in pixels.
        width: E, the width of a token.
        blocks_at: returns the blocks for a grid of patches, for towers whose attention depends on
            the grid (rotary positions); None for other towers.
        latent_pool: the parts of `pool`, if it is an attention pool with learnt queries.
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
    latent_pool: LatentPool | None = None

    @property
    def attention_pool(self) -> bool:
        """Whether the last block is the attention pool of a ResNet, which has no residual."""
        return bool(self.blocks) and not self.blocks[-1].residual

    def at(self, grid: PatchGrid) -> Tower:
        """Return this tower with the blocks for one grid; call this before using `blocks`."""
        if self.blocks_at is None:
            return self
        return replace(self, blocks=self.blocks_at(grid), blocks_at=None)

    def grid(self, pixels: Tensor) -> PatchGrid:
        """Return the number of rows and columns of patches in pixels (B, 3, H, W)."""
        height, width = pixels.shape[-2:]
        return PatchGrid(rows=height // self.patch_size, columns=width // self.patch_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextTower:
    """A text tower.

    Attributes:
        tokenize: maps C texts to token ids (C, T) int64, padded to the context length T.
        embed: maps token ids (C, n) to tokens (C, n, E) before the first block. The ids may be a
            part of the context that starts at a later position.
        blocks: the blocks in order.
        project: maps tokens (C, n, E) after the last block to the joint space (C, n, D).
        end_positions: maps token ids (C, T) to the index (C,) of the token whose output is the
            feature of the text.
        causal: whether tokens attend to earlier tokens only. If so, tokens after the end token have
            no effect, so that texts can be cut to the longest one and prefixes can be shared.
        context_length: T, the largest number of tokens.
        width: E, the width of a token.
        encode: maps token ids (C, T) to text features (C, D) with the code of the model's library,
            for towers that are not a stack of pre-norm blocks (BERT, CoCa). For these towers
            `blocks` is empty, and `embed` and `project` raise UnsupportedModelError. None for
            other towers.
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
    """The interface of functions that map texts to token ids."""

    def __call__(self, texts: list[str], *, truncate: bool = False) -> Tensor:
        """Return the token ids (C, T) int64 of C texts, padded to the context length T.

        Args:
            texts: C texts.
            truncate: whether texts that are too long are cut.

        Raises:
            InputError: if a text is longer than the context and `truncate` is false.
        """
        ...


class EmbedTokens(Protocol):
    """The interface of functions that map token ids to tokens."""

    def __call__(self, token_ids: Tensor, start: int = 0) -> Tensor:
        """Return tokens (C, n, E) with position embeddings for token ids (C, n).

        Args:
            token_ids: (C, n), at the positions start, start + 1, ... of the context.
            start: position of the first token id.
        """
        ...
