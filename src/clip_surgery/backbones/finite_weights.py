"""Check that a model's weights are finite numbers."""

from __future__ import annotations

import torch
from torch import nn

from clip_surgery.errors import WeightsError

UNUSED_PARTS = ("text_decoder.",)
"""Parts that no tower uses: the caption decoder of CoCa, which open_clip initialises partly."""


@torch.no_grad()
def check_finite_weights(model: nn.Module, *, source: str) -> None:
    """Check that all weights of a model are finite, because others would make every result NaN.

    Each weight tensor is summed in float32 or wider, which takes about 0.05 s for the 150 million
    weights of ViT-B/16. Single values are checked only if a sum is not finite.

    Args:
        model: the model, which is not changed.
        source: the model's name, for the message.

    Raises:
        WeightsError: if a weight is NaN or infinite; the message names the first such tensor.
    """
    weights = [
        (name, weight)
        for name, weight in model.named_parameters()
        if weight.is_floating_point() and not weight.is_meta and not name.startswith(UNUSED_PARTS)
    ]
    by_device: dict[torch.device, list[torch.Tensor]] = {}
    for _, weight in weights:
        wide = torch.promote_types(weight.dtype, torch.float32)
        by_device.setdefault(weight.device, []).append(weight.sum(dtype=wide).double())
    if all(torch.stack(sums).isfinite().all() for sums in by_device.values()):
        return
    for name, weight in weights:
        count = int((~weight.isfinite()).sum())
        if count:
            raise WeightsError(
                f"{source}: expected finite weights, but {count} of {weight.numel()} values of "
                f"{name} ({str(weight.dtype).removeprefix('torch.')}) are NaN or infinite."
            )
