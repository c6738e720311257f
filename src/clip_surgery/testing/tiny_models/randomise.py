"""Random values for weights that libraries initialise with zeros, ones or very small numbers.

With such values a test would not notice if a norm, a bias or a running statistic were left out.
"""

from __future__ import annotations

import torch
from torch import nn


def randomise(model: nn.Module) -> nn.Module:
    """Return the model in eval mode, with noise in its vectors and larger attention weights."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
            elif "attn.in_proj" in name or "_proj.weight" in name:
                parameter.mul_(2)
    return model.eval()


def randomise_statistics(model: nn.Module, seed: int) -> nn.Module:
    """Return the model with random running means and variances in its batch norms."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.running_mean is not None:
                module.running_mean.normal_(std=0.2)
            if module.running_var is not None:
                module.running_var.uniform_(0.5, 1.5)
    return model


def rescale_matrices(module: nn.Module) -> None:
    """Redraw the matrices of a module with a standard deviation of 1 / sqrt(inputs).

    The initial matrices of some libraries are so small that all outputs are nearly equal.
    """
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim == 2:
                weight.normal_(std=weight.shape[1] ** -0.5)
