"""Tests in two tiers: what `pytest` runs, and what continuous integration runs as well (`tests/README.md`)."""

import pytest


def thorough_but(quick, values, slow=()):
    """Values of a parametrised test: the few that stand for all in the first tier, the others in the second.

    Args:
        quick: values of the first tier; each must be among `values`, so that a row that is renamed is noticed.
        values: all of them.
        slow: values of neither.
    """
    values = list(values)
    for known in (quick, slow):
        assert all(any(value is one or value == one for value in values) for one in known), f"{known} of {values}"

    def marked(value):
        return pytest.param(value, marks=pytest.mark.slow if value in slow else pytest.mark.thorough)

    return [value if value in quick else marked(value) for value in values]
