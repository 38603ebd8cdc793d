"""Row 20 of the reliability scoreboard: how much memory derivatives take, measured in processes of their own."""

import re
import subprocess
import sys

import pytest

RUN = """
import re, sys
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from jaxpot.cli.compiler import compile_sooner
compile_sooner()
import jaxpot as jp

def peak(reset=False):
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", file.read())[1])

what, n = sys.argv[1], int(sys.argv[2])
silicon = jp.potentials.StillingerWeber.silicon()
cube = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]) * 5.43 / 4
crystal = jp.Structure(cube, 5.43 * np.eye(3), ["Si"] * 8)
side = max(1, int(np.ceil((n / 8) ** (1 / 3))))
whole = crystal.repeated((side, side, side))
rng = np.random.default_rng(0)
crystal = jp.Structure(np.asarray(whole.positions)[:n] + 0.05 * rng.normal(size=(n, 3)), whole.cell, ["Si"] * n)
listed = jp.neighbors(crystal, silicon.cutoff, 0.3)
before = peak(reset=True)
if what == "hessian":
    found = jp.hessian(silicon, crystal, listed)
else:
    found = jp.hessian_vector_product(silicon, crystal, rng.normal(size=(n, 3)), listed)
found = np.asarray(jax.block_until_ready(found))
assert np.isfinite(found).all() and found.size == (9 * n * n if what == "hessian" else 3 * n)
print("PEAK", peak() - before)
"""


def added(what, n):
    """Bytes that a derivative for n atoms adds to the peak of a process, with its compilation."""
    done = subprocess.run([sys.executable, "-c", RUN, what, str(n)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(re.search(r"PEAK (\d+)", done.stdout)[1])


pytestmark = [
    pytest.mark.slow, pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc"),
]


def test_row_20_dense_hessian():
    n = 500
    found, matrix = added("hessian", n), 8 * (3 * n) ** 2
    print(f"dense Hessian of {n} atoms: {found / 1e6:.0f} MB, the matrix has {matrix / 1e6:.0f} MB")
    assert found <= 4 * matrix + 500e6


def test_row_20_hessian_vector_product():
    """Linear in the number of atoms, but for what compilation takes: ten times the atoms, ten times what they add."""
    sizes = (1000, 8000, 64000)
    small, middle, large = (added("product", n) for n in sizes)
    print(f"Hessian products of {sizes} atoms: {small / 1e6:.0f}, {middle / 1e6:.0f} and {large / 1e6:.0f} MB")
    assert large - small <= 1.5 * (sizes[2] - sizes[0]) / (sizes[1] - sizes[0]) * max(middle - small, 20e6)
    assert large <= 64000 * 4e3 + 200e6
