"""Tests in two tiers: what `pytest` runs, and what continuous integration runs as well (`tests/README.md`)."""

import pytest


def thorough_but(quick, values):
    """Values of a parametrised test: the few that stand for all in the first tier, the others in the second.

    Args:
        quick: values of the first tier; each must be among `values`, so that a row that is renamed is noticed.
        values: all of them.
    """
    values = list(values)
    assert all(any(value is one or value == one for value in values) for one in quick), f"{quick} of {values}"
    return [value if value in quick else pytest.param(value, marks=pytest.mark.thorough) for value in values]
