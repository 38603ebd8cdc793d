"""Row 13 of the reliability scoreboard: single precision is what it says, everywhere, and only where it is asked for.

Products of matrices in float32 are rounded to 10 bits of mantissa on accelerators unless they ask for the highest
precision; on CPUs that cannot be seen, but in the program it can.
"""

import os
import re
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
from models import MODELS
from tiers import thorough_but

import jaxpot as jp
from jaxpot.checks import with_plans
from jaxpot.core.neighbors import neighbors

SINGLE = [name for name, (make, *_) in MODELS.items() if not make().double_only]
STANDING_FOR_ALL = ["stillinger-weber", "eam", "network of bonds", "linear in soap"]
INTERACTING = [name for name in SINGLE if name not in ("constants", "linear in a constant")]
SKIN = 0.3
_PRODUCT = re.compile(r"stablehlo\.(?:dot_general|dot|convolution)\b.*")
_FASTEST = {"xla_backend_optimization_level": 0}
_evaluate = jax.jit(jp.evaluate, compiler_options=_FASTEST)


def rounded(tree):
    """Everything in float32."""
    return jax.tree.map(lambda a: np.asarray(a, np.float32) if np.asarray(a).dtype == np.float64 else a, tree)


def products(text):
    """The lines of a program with products of single precision that do not ask for the highest precision."""
    lines = [found[0] for found in _PRODUCT.finditer(text)]
    return [line for line in lines if "f32" in line and line.count("HIGHEST") < 2]


@pytest.mark.parametrize("name", thorough_but(STANDING_FOR_ALL, SINGLE))
def test_row_13_no_product_of_low_precision(name):
    make, structure, *_ = MODELS[name]
    potential = make()
    listed = with_plans(potential, structure, neighbors(structure, potential.cutoff, SKIN))
    text = jax.jit(jp.evaluate).lower(rounded(potential), rounded(structure), rounded(listed)).as_text()
    assert "f32" in text and not products(text), products(text)[:4]


def test_products_are_found():
    """The search above finds what it is for, in every form that XLA has for it."""
    x = np.ones((4, 4), np.float32)
    found = {}
    for precision in (None, "default", "high", "highest"):
        multiply = partial(jax.numpy.matmul, precision=precision)
        convolve = partial(jax.numpy.convolve, precision=precision)
        for function, a in ((multiply, x), (convolve, x[0])):
            found.setdefault(precision, []).append(len(products(jax.jit(function).lower(a, a).as_text())))
    assert found == {None: [1, 1], "default": [1, 1], "high": [1, 1], "highest": [0, 0]}
    assert not products(jax.jit(jax.numpy.matmul).lower(*np.ones((2, 4, 4))).as_text())


@pytest.mark.parametrize("name", thorough_but(STANDING_FOR_ALL, INTERACTING))
def test_row_13_forces_in_single_precision(name):
    """Median relative error of the forces on disturbed crystals: 3e-6 at most, and results are float32.

    Double precision gets the same positions: how far atoms are from where they were meant to be is not an error of the
    forces.
    """
    make, given, *_ = MODELS[name]
    potential, rng, errors = make(), np.random.default_rng(13), []
    structure = given.repeated([2 if p and len(given) < 3 else 1 for p in given.pbc])
    for _ in range(4):
        moved = structure.moved(np.asarray(structure.positions) + 0.1 * rng.normal(size=structure.positions.shape))
        moved = jax.tree.map(lambda a, b: np.asarray(b, np.asarray(a).dtype), moved, rounded(moved))
        capacity = neighbors(structure, potential.cutoff, 1.5).capacity
        listed = with_plans(potential, moved, neighbors(moved, potential.cutoff, SKIN, capacity=capacity))
        double = _evaluate(potential, moved, listed)
        found = _evaluate(potential, rounded(moved), rounded(listed))
        assert found.energy.dtype == found.forces.dtype == np.float32
        errors += list(np.linalg.norm(np.asarray(found.forces, float) - double.forces, axis=1)
                       / np.linalg.norm(double.forces, axis=1))
    print(f"{name}: {np.median(errors):.1e}")
    assert np.median(errors) <= 3e-6


SWITCHED = """
import sys, numpy as np, jax
if sys.argv[1] == "on":
    jax.config.update("jax_enable_x64", True)
import jaxpot as jp
from jaxpot.potentials import LennardJones, SecondMoment, StillingerWeber
f = np.float32
x = np.array([[0, 0, 0], [2.3, 0.1, 0], [0.2, 2.4, 0.1], [2.1, 2.2, 2.0]], f)
for make, element in (
    (lambda: LennardJones(f(0.3), f(2.1), 4.0, shift="smooth"), "Ar"),
    (lambda: StillingerWeber(f(2.1683), f(2.0951), f(1.8), f(21.0), f(1.2), f(-1 / 3), f(7.05), f(0.602),
                             species=("Si",)), "Si"),
    (lambda: SecondMoment(f(0.0855), f(1.224), f(10.96), f(2.278), f(2.556), 5.5, species=("Cu",)), "Cu"),
):
    result = jp.evaluate(make(), jp.Structure(x, 12 * np.eye(3, dtype=f), [element] * 4))
    for values in (result.energy, result.forces, result.stress):
        assert values.dtype == f, values.dtype
        print(np.asarray(values).tobytes().hex())
"""


@pytest.mark.thorough
def test_row_13_the_switch_changes_no_digits():
    """Single precision that is asked for gives the same bits whether or not double precision is switched on."""
    outputs = []
    for switch in ("on", "off"):
        done = subprocess.run([sys.executable, "-c", SWITCHED, switch], capture_output=True, text=True, timeout=300,
                              env={k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"})
        assert done.returncode == 0, done.stderr[-2000:]
        outputs.append(done.stdout.split())
    assert outputs[0] == outputs[1] and len(outputs[0]) == 9
