"""Comparisons whose errors say what was expected and what came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def expect(condition: bool, expected: str, actual: object) -> None:
    """Check a condition.

    Args:
        condition: whether the contract holds.
        expected: what was expected, as a part of a sentence.
        actual: what came instead; its text is shown.

    Raises:
        AssertionError: if the condition is false.
    """
    if not condition:
        raise AssertionError(f"expected {expected}, but got {actual}")


def expect_close(
    actual: Tensor, expected: Tensor, what: str, *, rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Check that two tensors have the same shape and nearly the same values.

    Args:
        actual: what came.
        expected: what was expected.
        what: description of the expected values, as a part of a sentence.
        rtol: largest relative difference.
        atol: largest absolute difference.

    Raises:
        AssertionError: if the tensors differ.
    """
    expect(actual.shape == expected.shape, f"{what} of shape {tuple(expected.shape)}", actual.shape)
    if not torch.allclose(actual.float(), expected.float(), rtol=rtol, atol=atol):
        difference = (actual.float() - expected.float()).abs().max().item()
        raise AssertionError(f"expected {what}, but got a difference of up to {difference:.3g}")


@contextmanager
def named_contract(subject: str, contract: str) -> Iterator[None]:
    """Raise all errors of a block as an AssertionError that names the contract.

    Args:
        subject: what is checked, at the start of the message.
        contract: name of the contract.
    """
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{subject} breaks the contract {contract!r}: {error}.") from error
    except Exception as error:
        raise AssertionError(
            f"{subject} breaks the contract {contract!r}: "
            f"expected no error, but got {type(error).__name__}: {error}"
        ) from error
