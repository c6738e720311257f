"""The text tower of a site, with which visitors can use words that the site has no features of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from clip_surgery.errors import UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.export.half_weights import store_exact_halves
from clip_surgery.export.onnx_file import open_outputs, write_onnx
from clip_surgery.export.tokenizer_file import write_tokenizer
from clip_surgery.export.traced_text import (
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    PromptTower,
    trace_text,
)

TEXT_TOWER, TOKENIZER = "text.onnx", "tokenizer.json"
_TOLERANCE = 1e-4


def write_text_tower(explainer: Explainer, folder: Path) -> dict[str, Any]:
    """Write the text tower and its tokenizer, and return what the page must know of them.

    Raises:
        UnsupportedModelError: if the tower or its tokenizer has no form for the browser, or if the
            features of the exported tower differ from those of the model.
    """
    tower = explainer.backbone.text_tower
    write_tokenizer(tower, folder / TOKENIZER)
    module = PromptTower(explainer.backbone)
    path = folder / TEXT_TOWER
    write_onnx(trace_text(module), path, inputs=TEXT_INPUTS, outputs=TEXT_OUTPUTS)
    store_exact_halves(path)
    ids = module.example()
    with torch.no_grad():
        expected = module(ids)
    [features] = open_outputs(path, TEXT_OUTPUTS, name=TEXT_INPUTS[0])(ids)
    difference = (features - expected.cpu()).abs().max().nan_to_num(torch.inf)
    if difference > _TOLERANCE:
        raise UnsupportedModelError(
            f"{explainer.backbone.name}: the exported text tower differs from the model by "
            f"{float(difference):.1e}; nothing was written."
        )
    return {
        "tokenizer": TOKENIZER,
        "context_length": module.longest,
        "causal": module.any_length,
        "padding": int(tower.tokenize([""])[0, -1]),
    }
