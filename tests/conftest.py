"""Shared by all tests: double precision, and the marker for the data folder."""

import os

import jax
import pytest

jax.config.update("jax_enable_x64", True)


def pytest_collection_modifyitems(items):
    if not os.environ.get("JAXPOT_DATA"):
        skip = pytest.mark.skip(reason="needs JAXPOT_DATA, the folder of published data")
        for item in items:
            if "data" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def forget_large_programs(request):
    """The slow tests compile programs of gigabytes: they are not kept for the next one."""
    yield
    if "slow" in request.keywords:
        jax.clear_caches()
