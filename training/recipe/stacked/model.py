"""The towers of M models of the same sizes, walked together by batched matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from open_clip.model import CLIP
from torch import Tensor
from torch.nn import functional as F

Parameters = dict[str, Tensor]
"""Parameters of open_clip's CLIP by name, each with a first dimension for the model."""


BLOCK = (
    *("ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias"),
    *("attn.out_proj.weight", "attn.out_proj.bias", "ln_2.weight", "ln_2.bias"),
    *("mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"),
)
"""The parameters of a block, in the order of their use."""


class Place(NamedTuple):
    """Where a parameter lies in one of the two flat tensors."""

    group: int
    start: int
    shape: torch.Size


class Stack:
    """M models as two leaf tensors: parameters with weight decay (M, P) and without (M, Q).

    They are few and large, so that an update takes few kernels.
    """

    def __init__(self, models: Sequence[CLIP], *, compiled: bool = False) -> None:
        # Blocks are compiled rather than the whole, which would take minutes for each shape.
        self.block = torch.compile(through_block, dynamic=False) if compiled else through_block
        self.places: dict[str, Place] = {}
        sizes = [0, 0]
        for name, parameter in models[0].named_parameters():
            group = int(parameter.ndim < 2 or "embedding" in name)  # as recipe.model.optimiser
            self.places[name] = Place(group, sizes[group], parameter.shape)
            sizes[group] += parameter.numel()
        device = next(models[0].parameters()).device
        self.groups = [torch.empty(len(models), size, device=device) for size in sizes]
        for row, model in enumerate(models):
            for name, parameter in model.named_parameters():
                place = self.places[name]
                flat = self.groups[place.group][row]
                flat[place.start : place.start + parameter.numel()] = parameter.detach().flatten()
        for group in self.groups:
            group.requires_grad_(True)
        self.heads = {
            "visual.transformer": models[0].visual.transformer.resblocks[0].attn.num_heads,
            "transformer": models[0].transformer.resblocks[0].attn.num_heads,
        }
        self.layers = {
            "visual.transformer": len(models[0].visual.transformer.resblocks),
            "transformer": len(models[0].transformer.resblocks),
        }

    def __len__(self) -> int:
        return len(self.groups[0])

    def parameters(self, groups: Sequence[Tensor] | None = None) -> Parameters:
        """Views of the flat tensors by name; `groups` for others of the same layout."""
        views = {}
        for number, flat in enumerate(groups or self.groups):
            own = {n: place.shape for n, place in self.places.items() if place.group == number}
            # One split: the gradient of a slice each would be as large as the whole tensor.
            parts = flat.split([shape.numel() for shape in own.values()], dim=1)
            for (name, shape), part in zip(own.items(), parts, strict=True):
                views[name] = part.reshape(len(flat), *shape)
        return views

    def state(self, row: int, groups: Sequence[Tensor] | None = None) -> dict[str, Tensor]:
        """The parameters of one model, as `CLIP.load_state_dict` takes them."""
        views = self.parameters(groups)
        return {name: value[row].detach().clone() for name, value in views.items()}

    def image_features(self, weights: Parameters, patches: Tensor, kept: Tensor | None) -> Tensor:
        """Unit image features (M, B, D) from patches (M, B, n, K); kept (B, n) as in training."""
        models, batch, count, _ = patches.shape
        conv = weights["visual.conv1.weight"].flatten(2)  # (M, E, K)
        tokens = torch.bmm(patches.flatten(1, 2), conv.transpose(1, 2))
        tokens = tokens.view(models, batch, count, -1)
        positions = weights["visual.positional_embedding"]  # (M, 1 + P, E)
        grid = positions[:, 1:]
        tokens = tokens + (grid[:, None] if kept is None else grid[:, kept])
        first = (weights["visual.class_embedding"] + positions[:, 0])[:, None, None]
        tokens = torch.cat([first.expand(-1, batch, -1, -1).to(tokens.dtype), tokens], dim=2)
        tokens = normed(tokens, weights["visual.ln_pre.weight"], weights["visual.ln_pre.bias"])
        tokens = self._blocks(tokens, weights, "visual.transformer", causal=False)
        pooled = normed(
            tokens[:, :, :1], weights["visual.ln_post.weight"], weights["visual.ln_post.bias"]
        )[:, :, 0]
        return F.normalize(torch.bmm(pooled, weights["visual.proj"]), dim=-1)

    def text_features(self, weights: Parameters, tokens: Tensor, ends: Tensor) -> Tensor:
        """Unit text features (M, C, D) from tokens (M, C, T) and their ends (M, C)."""
        models, count, length = tokens.shape
        table = weights["token_embedding.weight"]  # (M, V, E)
        flat = tokens.reshape(models, -1, 1).expand(-1, -1, table.shape[2])
        hidden = table.gather(1, flat).view(models, count, length, -1)
        hidden = hidden + weights["positional_embedding"][:, None, :length]
        hidden = self._blocks(hidden, weights, "transformer", causal=True)
        at_end = ends[..., None, None].expand(-1, -1, 1, hidden.shape[3])
        pooled = normed(
            hidden.gather(2, at_end), weights["ln_final.weight"], weights["ln_final.bias"]
        )[:, :, 0]
        return F.normalize(torch.bmm(pooled, weights["text_projection"]), dim=-1)

    def _blocks(
        self, tokens: Tensor, weights: Parameters, transformer: str, *, causal: bool
    ) -> Tensor:
        for layer in range(self.layers[transformer]):
            own = [weights[f"{transformer}.resblocks.{layer}.{name}"] for name in BLOCK]
            tokens = self.block(tokens, own, self.heads[transformer], causal)
        return tokens


def through_block(tokens: Tensor, weights: Sequence[Tensor], heads: int, causal: bool) -> Tensor:
    """One pre-norm block of each model, (M, B, N, E) to (M, B, N, E); weights as in `BLOCK`."""
    models, rows, length, width = tokens.shape
    first, packing, output, second, widening, narrowing = (
        (weights[index], weights[index + 1]) for index in range(0, len(BLOCK), 2)
    )
    packed = linear(normed(tokens, *first), *packing)
    split = packed.view(models * rows, length, 3, heads, width // heads)
    q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (M * B, h, N, d)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    mixed = mixed.transpose(1, 2).reshape(models, rows, length, width)
    tokens = tokens + linear(mixed, *output)
    hidden = linear(normed(tokens, *second), *widening)
    hidden = hidden * torch.sigmoid(1.702 * hidden)
    return tokens + linear(hidden, *narrowing)


def linear(values: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """An affine map of each model: (M, B, N, E) to (M, B, N, F)."""
    flat = torch.baddbmm(bias[:, None], values.flatten(1, 2), matrix.transpose(1, 2))
    return flat.view(*values.shape[:3], -1)


def normed(values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer normalisation of each model, (M, B, N, E)."""
    plain = F.layer_norm(values, values.shape[-1:])
    return plain * scale[:, None, None] + shift[:, None, None]
