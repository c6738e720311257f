"""The state of a model that nothing in this library may change."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
)


def model_state(model: nn.Module) -> dict[str, Any]:
    """Return weights, flags, gradients, modes, hooks, attributes and methods of a model.

    Two results are compared by `state_differences`.

    Args:
        model: the model; it is only read, and its weights are copied.
    """
    modules = list(model.modules())
    parameters = list(model.parameters())
    return {
        "weights": {
            name: value.detach().clone()
            for name, value in (*model.state_dict().items(), *model.named_buffers())
        },
        "versions of weights": [parameter._version for parameter in parameters],
        "requires_grad flags": [parameter.requires_grad for parameter in parameters],
        "gradients": [parameter.grad is None for parameter in parameters],
        "training modes": [module.training for module in modules],
        "hooks": [len(getattr(module, name)) for module in modules for name in _HOOKS],
        "hooks of parameters": [len(parameter._backward_hooks or ()) for parameter in parameters],
        "attributes": [sorted(vars(module)) for module in modules],
        "forward methods": [type(module).forward for module in modules],
    }


def state_differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of what differs between two results of `model_state`."""
    weights_before, weights_after = before["weights"], after["weights"]
    differences = [part for part in before if part != "weights" and before[part] != after[part]]
    if weights_before.keys() != weights_after.keys():
        return ["names of weights", *differences]
    changed = [
        f"weight {name}"
        for name, value in weights_before.items()
        if not torch.equal(value, weights_after[name])
    ]
    return [*changed, *differences]
