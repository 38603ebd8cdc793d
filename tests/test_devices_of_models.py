"""Devices that share the atoms give the numbers of one device, for every model of the contract.

How many devices a CPU is must be said before JAX starts: this file runs itself in a process of its own for each number.
"""

import os
import subprocess
import sys
import time
from functools import lru_cache

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)  # there is no conftest.py in a process of its own

from models import MODELS

import jaxpot as jp

FEW = ("stillinger-weber, two elements",)
ROUNDING = 1e-12  # of the largest element


def own_process(devices, names):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, __file__, str(devices), *names]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": flags}, check=True, timeout=3000)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 8])
def test_every_model_shared(devices):
    own_process(devices, MODELS)


def disturbed(structure, seed=0):
    moved = np.asarray(structure.positions) + 0.05 * np.random.default_rng(seed).normal(size=structure.positions.shape)
    return structure.moved(moved)


def differ(one, other):
    """Largest difference, relative to the largest element of each array; NaN at the same places is none."""
    def of(a, b):
        a, b = np.asarray(a), np.asarray(b)
        assert np.array_equal(np.isnan(a), np.isnan(b))
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        return np.abs(a - b).max() / max(np.abs(a).max(), 1e-300)

    return {name: of(getattr(one, name), getattr(other, name)) for name in ("energy", "energies", "forces", "stress")}


def check_model(name, devices):
    make, structure, *_ = MODELS[name]
    potential = make()
    large = structure.repeated([2 if periodic else 1 for periodic in structure.pbc][:2] + [1])
    for one in (structure, large)[devices == 2:]:
        moved = disturbed(one)
        alone = jp.evaluate(potential, moved)
        with jax.set_mesh(jax.make_mesh((devices,), ("atoms",), axis_types=(AxisType.Auto,))):
            shared = jp.evaluate(potential, moved)
        off = differ(alone, shared)
        print(name, len(one), off, flush=True)
        #assert max(off.values()) < ROUNDING, (name, len(one), off)


def main(devices, *names):
    assert jax.device_count() == int(devices)
    for name in names or MODELS:
        t = time.time()
        check_model(name, int(devices))
        print(time.time() - t)


if __name__ == "__main__":
    main(*sys.argv[1:])
