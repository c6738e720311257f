"""Checks of the settings of refinements."""

from __future__ import annotations

from clip_surgery.errors import InputError


def check_at_least(settings: object, **lowest: int) -> None:
    """Raise an `InputError` if a setting is not a whole number of at least its lowest value."""
    for name, low in lowest.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise InputError(f"Expected {name} to be a whole number of {low} or more, got {value}.")


def check_positive(settings: object, *names: str) -> None:
    """Raise an `InputError` if a setting is not a finite number above 0."""
    for name in names:
        value = getattr(settings, name)
        if not 0 < value < float("inf"):
            raise InputError(f"Expected {name} above 0, but got {value}.")
