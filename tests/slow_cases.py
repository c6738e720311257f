"""Parameters of tests that have many similar cases: a few are quick, the others are slow."""

import pytest


def slow_except(values, quick):
    """All values as test parameters; those that are not among `quick` are marked as slow."""
    quick = list(quick)
    missing = [value for value in quick if value not in list(values)]
    assert not missing, f"expected the quick cases among all cases, but got {missing}"
    return [
        pytest.param(value, marks=() if value in quick else pytest.mark.slow) for value in values
    ]
