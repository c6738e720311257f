"""Run the contracts that every method must keep.

A contract is a property that the rest of the library relies on, such as "a batch gives the scores
of single images". The methods of this package are tested with the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import UnknownNameError, UnsupportedModelError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.method import Method
from clip_surgery.methods.registry import as_method
from clip_surgery.testing.expectations import named_contract
from clip_surgery.testing.method_case import MethodCase, encoded_texts
from clip_surgery.testing.method_definition import (
    check_half_precision,
    check_refusal,
    check_settings,
    missing_class_token,
)
from clip_surgery.testing.method_results import (
    check_batch,
    check_determinism,
    check_image_score,
    check_one_text,
    check_order_of_images,
    check_order_of_texts,
    check_redundancy,
    check_shapes,
    check_threads,
    check_types,
)
from clip_surgery.testing.method_side_effects import (
    check_inputs_unchanged,
    check_memory_freed,
    check_model_unchanged,
    check_model_unchanged_after_error,
)
from clip_surgery.testing.tiny_backbones import tiny_backbones

CLASS_CONTRACTS: Mapping[str, Callable[[Method], None]] = MappingProxyType(
    {
        "settings": check_settings,
        "half precision": check_half_precision,
    }
)
"""Contracts that are checked once per method."""

BACKBONE_CONTRACTS: Mapping[str, Callable[[MethodCase], None]] = MappingProxyType(
    {
        "shapes": check_shapes,
        "types": check_types,
        "one text": check_one_text,
        "image score": check_image_score,
        "batch": check_batch,
        "order of images": check_order_of_images,
        "order of texts": check_order_of_texts,
        "determinism": check_determinism,
        "threads": check_threads,
        "inputs unchanged": check_inputs_unchanged,
        "model unchanged": check_model_unchanged,
        "model unchanged after an error": check_model_unchanged_after_error,
        "memory freed": check_memory_freed,
        "redundancy": check_redundancy,
    }
)
"""Contracts that are checked on every backbone. "redundancy" is for dense methods only."""

METHOD_CONTRACTS = (*CLASS_CONTRACTS, *BACKBONE_CONTRACTS)
"""Names of all contracts of methods."""


def check_method(
    method: str | Method | type[Method],
    backbones: Mapping[str, Backbone] | None = None,
    *,
    contracts: Iterable[str] = METHOD_CONTRACTS,
) -> None:
    """Check that a method keeps the contracts that this library relies on.

    A backbone may be refused with an UnsupportedModelError, but not all of them.

    Args:
        method: a method, its class (checked with its default settings) or its name.
        backbones: models to check it on, by a name that is shown in errors; by default
            `tiny_backbones()`.
        contracts: names of contracts, from `METHOD_CONTRACTS`; all by default.

    Raises:
        AssertionError: if a contract is broken. The message names the contract and the backbone,
            what was expected and what came.
        UnknownNameError: for an unknown method or contract.
        InputError: if it is not a method.

    Example:
        >>> check_method("clip_surgery", contracts=["settings", "order of texts"])
    """
    instance = as_method(method() if isinstance(method, type) else method)
    names = tuple(contracts)
    for name in names:
        if name not in METHOD_CONTRACTS:
            raise UnknownNameError.among("contract", name, METHOD_CONTRACTS)
        if name in CLASS_CONTRACTS:
            with named_contract(instance.name, name):
                CLASS_CONTRACTS[name](instance)
    of_backbones = [name for name in names if name in BACKBONE_CONTRACTS]
    if not of_backbones:
        return
    chosen = tiny_backbones() if backbones is None else backbones
    supported = [
        check_on_backbone(
            MethodCase(method=instance, backbone=backbone, texts=encoded_texts(backbone)),
            of_backbones,
            label=label,
        )
        for label, backbone in chosen.items()
    ]
    if not any(supported):
        raise AssertionError(
            f"{instance.name} breaks the contract 'shapes': expected it to support at least one of "
            f"{', '.join(chosen)}, but it refused all of them."
        )


def check_on_backbone(case: MethodCase, contracts: Iterable[str], *, label: str) -> bool:
    """Check contracts on one backbone, and return whether the method supports it.

    Args:
        case: the method and the backbone.
        contracts: names from `BACKBONE_CONTRACTS`.
        label: name of the backbone in errors.

    Raises:
        AssertionError: if a contract is broken, or a method that declares to need a class token
            does not refuse a model without one.
    """
    subject = f"{case.method.name} on {label}"
    if missing_class_token(case.method, case.backbone):
        with named_contract(subject, "refusal"):
            _expect_refusal(case)
        return False
    for name in contracts:
        if name == "redundancy" and not isinstance(case.method, DenseMethod):
            continue
        try:
            with named_contract(subject, name):
                BACKBONE_CONTRACTS[name](case)
        except AssertionError as error:
            if not isinstance(error.__cause__, UnsupportedModelError):
                raise
            with named_contract(subject, "refusal"):
                check_refusal(case.method, error.__cause__)
            return False
    return True


def _expect_refusal(case: MethodCase) -> None:
    try:
        case.explain(case.pixels(batch=1))
    except UnsupportedModelError as error:
        check_refusal(case.method, error)
    else:
        raise AssertionError(
            "expected an UnsupportedModelError, because the method declares to need a class token "
            "and this model has none, but got evidence"
        )
