"""From a training checkpoint to the files the package carries: full vocabulary, half precision."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clip_surgery.errors import WeightsError
from clip_surgery.evaluation.datasets.scenes import BACKGROUNDS
from recipe import checkpoint
from recipe.config import Config, Model
from recipe.data import MEAN, STD
from recipe.model import model_config
from recipe.words import MORE_WORDS

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
OTHER_WORDS = (*MORE_WORDS, *BACKGROUNDS)
"""The words besides nouns that a model with described scenes has learned."""
VOCABULARY = 49_408
POSITIONS = 77


def export(run: Path, out: Path) -> dict[str, Any]:
    """Write model.safetensors (float16) and config.json of the run's last checkpoint into `out`.

    Raises:
        WeightsError: the run has no readable checkpoint.
    """
    parts = checkpoint.read(run / checkpoint.FILE)
    sizes = Model(**parts["config"]["model"])
    state = expanded(parts["average"], parts["token_ids"])
    model_cfg = model_config(sizes, VOCABULARY, POSITIONS)
    CLIP(**model_cfg).load_state_dict(state)  # it must load as plain open_clip, or not ship
    out.mkdir(parents=True, exist_ok=True)
    half = {name: value.to(torch.float16).contiguous() for name, value in state.items()}
    partial = out / f"{WEIGHTS}.partial"
    save_file(half, partial, metadata={"format": "pt"})
    partial.chmod(0o644)  # safetensors makes it private
    facts = {
        "model_cfg": model_cfg,
        "preprocess_cfg": {
            "size": [sizes.image_size, sizes.image_size],
            "mean": list(MEAN),
            "std": list(STD),
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
        "nouns": list(parts["config"]["nouns"]),
        "other_words": list(OTHER_WORDS) if parts["config"]["described_every"] else [],
        "sha256": hashlib.sha256(partial.read_bytes()).hexdigest(),
        "training": {
            "samples": parts["progress"]["samples"],
            "steps": parts["progress"]["steps"],
            "minutes": round(parts["progress"]["seconds"] / 60, 1),
            "seed": parts["config"]["seed"],
        },
    }
    os.replace(partial, out / WEIGHTS)
    (out / CONFIG).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def expanded_model(model: CLIP, config: Config, token_ids: list[int]) -> CLIP:
    """A model in training as the plain open_clip model it will be, with its own copy of weights."""
    whole = CLIP(**model_config(config.model, VOCABULARY, POSITIONS)).to(config.device).eval()
    whole.load_state_dict(expanded(model.state_dict(), token_ids))
    return whole


def load_compact(
    model: CLIP, weights: Path, token_ids: list[int], config: Config | None = None
) -> None:
    """Load an exported file into a model of the compact vocabulary, to train it further.

    A token whose row in the file is zero was never trained; it keeps the model's fresh row. So do
    the parts of the image tower that `config` lets start fresh, and then the temperature.

    Raises:
        WeightsError: the file cannot be read or is of another model.
    """
    try:
        state = {name: value.float() for name, value in load_file(weights).items()}
        rows = state["token_embedding.weight"][token_ids]
        fresh = model.token_embedding.weight.detach().cpu()
        state["token_embedding.weight"] = torch.where(rows.any(1, keepdim=True), rows, fresh)
        positions = state["positional_embedding"]
        state["positional_embedding"] = positions[: len(model.positional_embedding)]
        if config is not None and config.kept_blocks is not None:
            state = {  # the file may have more or fewer blocks than the model
                name: value if starts_fresh(name, config) else state[name]
                for name, value in model.state_dict().items()
            }
        model.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"Expected an export of this model, but got {weights}: {error}"
        ) from error


ENDS = {
    "input": ("class_embedding", "positional_embedding", "conv1.weight", "ln_pre."),
    "output": ("ln_post.", "proj"),
}


def starts_fresh(name: str, config: Config) -> bool:
    """Whether a parameter is not loaded from the weights that a run starts from."""
    if name == "logit_scale":
        return True
    block = re.match(r"visual\.transformer\.resblocks\.(\d+)\.", name)
    if block:
        return int(block[1]) >= (config.kept_blocks or 0)
    return any(name.startswith(f"visual.{each}") for end in config.fresh_ends for each in ENDS[end])


def expanded(state: dict[str, Tensor], token_ids: list[int]) -> dict[str, Tensor]:
    """The state dict with OpenAI's whole vocabulary and 77 positions; new rows are zero."""
    tokens, positions = state["token_embedding.weight"], state["positional_embedding"]
    table = torch.zeros(VOCABULARY, tokens.shape[1], device=tokens.device)
    table[token_ids] = tokens
    places = torch.zeros(POSITIONS, positions.shape[1], device=tokens.device)
    places[: len(positions)] = positions
    return {**state, "token_embedding.weight": table, "positional_embedding": places}
