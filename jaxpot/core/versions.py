"""What a result was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version

import jax


def versions() -> dict[str, str]:
    """Name -> version of the packages that numbers depend on."""
    found = {}
    for package in ("jaxpot", "jax", "jaxlib", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found | {"python": platform.python_version(), "backend": jax.default_backend()}
