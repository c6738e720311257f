"""Contracts on what a method must leave as it was: the model, the inputs, torch and the memory.

Each contract is a function of a `MethodCase` that raises an AssertionError if it is broken.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.grid import PatchGrid
from clip_surgery.testing.expectations import expect
from clip_surgery.testing.method_case import MethodCase
from clip_surgery.testing.model_state import model_state, state_differences


def check_model_unchanged(case: MethodCase) -> None:
    """Weights, flags, gradients, modes, hooks and attributes of the model stay as they were."""
    with _unchanged(case.backbone.model):
        case.explain(case.pixels(5, 3))


def check_model_unchanged_after_error(case: MethodCase) -> None:
    """The same holds if the model raises an error, and the error reaches the caller."""
    pixels = case.pixels()
    with _unchanged(case.backbone.model):
        _expect_error(replace(case, backbone=_failing_in_last_block(case.backbone)), pixels)
        with _counted_module_calls(case.backbone.model) as calls:
            case.explain(pixels)
        if calls:
            with _failing_module_call(case.backbone.model, number=len(calls)):
                _expect_error(case, pixels)


def check_inputs_unchanged(case: MethodCase) -> None:
    """Images, text features, torch's random generator and its gradient mode are not changed."""
    pixels = case.pixels()
    tensors = {
        "pixels": pixels,
        "features of the texts": case.texts.labels,
        "feature of the empty text": case.texts.empty,
    }
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    random_state = torch.get_rng_state()
    with torch.set_grad_enabled(case.method.needs_gradient):
        case.method(case.backbone, pixels, case.texts)
        expect(
            torch.is_grad_enabled() == case.method.needs_gradient,
            "the gradient mode of the caller",
            f"torch.is_grad_enabled() == {torch.is_grad_enabled()}",
        )
    for name, tensor in tensors.items():
        expect(torch.equal(tensor, copies[name]), f"unchanged {name}", "other values")
        expect(tensor.grad is None, f"no .grad of the {name}", "one")
        expect(not tensor.requires_grad, f"requires_grad of the {name} to stay off", "it turned on")
    expect(
        torch.equal(torch.get_rng_state(), random_state),
        "torch's random generator as it was",
        "another state",
    )


def check_memory_freed(case: MethodCase) -> None:
    """No tensor of a call stays in memory when its evidence is dropped.

    A first call fills caches that belong to the size of the images. Tensors that a second call of
    the same size leaves behind are held by the method or by the model.
    """
    case.explain(case.pixels(seed=1))
    gc.freeze()  # the collector looks at objects made from here on only
    try:
        case.explain(case.pixels(seed=2))
        gc.collect()
        held = [value for value in gc.get_objects() if isinstance(value, Tensor)]
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in held[:5])
        expect(not held, "no tensor of a call in memory after it", f"{len(held)}, such as {shapes}")
    finally:
        gc.unfreeze()


class _StoppedByContractError(RuntimeError):
    """Raised inside of the model on purpose."""


def _expect_error(case: MethodCase, pixels: Tensor) -> None:
    """Check that an error inside of the model reaches the caller of the method."""
    try:
        case.explain(pixels)
    except _StoppedByContractError:
        return
    raise AssertionError("expected the error of the model to reach the caller, but got evidence")


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Check that the block changes nothing in the model."""
    before = model_state(model)
    yield
    differences = state_differences(before, model_state(model))
    expect(not differences, "an unchanged model", f"changes of {', '.join(differences)}")


def _failing_in_last_block(backbone: Backbone) -> Backbone:
    """A backbone over the same model whose image tower raises an error in its last block."""

    def fail(*_: Any) -> Tensor:
        raise _StoppedByContractError("the last block was told to fail")

    def with_failing_end(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        last = blocks[-1]
        return (*blocks[:-1], replace(last, attention=replace(last.attention, project_out=fail)))

    tower: Tower = backbone.tower
    blocks_at = tower.blocks_at

    def failing_blocks_at(grid: PatchGrid) -> tuple[Block, ...]:
        return with_failing_end(tower.at(grid).blocks)

    return replace(
        backbone,
        tower=replace(
            tower,
            blocks=with_failing_end(tower.blocks),
            blocks_at=None if blocks_at is None else failing_blocks_at,
            pool=fail,
            project=fail,
        ),
    )


@contextmanager
def _counted_module_calls(model: nn.Module) -> Iterator[list[str]]:
    """Yield a list that grows by the class name of each module of the model that is called."""
    modules = {id(module) for module in model.modules()}
    calls: list[str] = []

    def count(module: nn.Module, _: Any) -> None:
        if id(module) in modules:
            calls.append(type(module).__name__)

    handle = register_module_forward_pre_hook(count)
    try:
        yield calls
    finally:
        handle.remove()


@contextmanager
def _failing_module_call(model: nn.Module, *, number: int) -> Iterator[None]:
    """Raise an error at this call of a module of the model, counted from 1."""
    modules = {id(module) for module in model.modules()}
    calls = 0

    def fail(module: nn.Module, _: Any) -> None:
        nonlocal calls
        calls += id(module) in modules
        if calls == number:
            raise _StoppedByContractError(f"call {number} of a module was told to fail")

    handle = register_module_forward_pre_hook(fail)
    try:
        yield
    finally:
        handle.remove()
