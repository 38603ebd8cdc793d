"""Batches of matrices: right, differentiable, and in no program as a batch that LAPACK could lock up on."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.core import linalg

N, BATCH = 5, 7


@pytest.fixture(scope="module")
def matrices():
    random = np.random.default_rng(0)
    general = random.normal(size=(BATCH, N, N)) + 3.0 * np.eye(N)
    return jnp.asarray(general), jnp.asarray(random.normal(size=(BATCH, N, 2)))


def positive(general):
    return general @ jnp.swapaxes(general, -1, -2)


REFERENCE = {
    "solve": (linalg.solve, jnp.linalg.solve),
    "solve_lower": (linalg.solve_lower, lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True)),
    "solve_lower transposed": (
        lambda a, b: linalg.solve_lower(a, b, transposed=True),
        lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True, trans=1),
    ),
    "inverse": (lambda a, b: linalg.inverse(a), lambda a, b: jnp.linalg.inv(a)),
    "cholesky": (lambda a, b: linalg.cholesky(positive(a)), lambda a, b: jnp.linalg.cholesky(positive(a))),
    "eigenvalues": (lambda a, b: linalg.eigh(positive(a))[0], lambda a, b: jnp.linalg.eigh(positive(a))[0]),
}
DIFFERENTIABLE = [name for name in REFERENCE if name != "eigenvalues"]


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)], ids=str)
def test_batches_are_those_of_jax(name, axes, matrices):
    mine, reference = REFERENCE[name]
    arguments = [x if axis == 0 else x[0] for x, axis in zip(matrices, axes, strict=True)]
    mapped = jax.jit(jax.vmap(mine, axes))(*arguments)
    np.testing.assert_allclose(mapped, jax.vmap(reference, axes)(*arguments), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_first_and_second_derivatives_are_those_of_jax(name, matrices):
    def twice(function):
        def number(a, b):
            return jnp.sum(jnp.sin(function(a, b)))

        def along(a, b):
            return jax.jvp(jax.grad(number, argnums=(0, 1)), (a, b), (jnp.cos(a), jnp.cos(b)))

        return jax.jit(jax.vmap(along))(*matrices)

    mine, reference = (jax.tree.leaves(twice(function)) for function in REFERENCE[name])
    for a, b in zip(mine, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * float(jnp.abs(b).max()) + 1e-14)


def lapack_operands(program):
    """Shapes of everything that a compiled program hands to LAPACK and BLAS."""
    calls = [line for line in program.splitlines() if "custom-call(" in line and re.search(r"lapack|blas", line)]
    return [tuple(shape.split(",")) for line in calls for shape in re.findall(r"(?:f64|c128)\[([\d,]+)\]", line)]


@pytest.mark.parametrize("name", REFERENCE)
def test_no_program_hands_a_batch_to_lapack(name, matrices):
    def gradient(a, b):
        return jax.grad(lambda a: jnp.sum(jnp.sin(REFERENCE[name][0](a, b))))(a)

    function = gradient if name in DIFFERENTIABLE else REFERENCE[name][0]
    shapes = lapack_operands(jax.jit(jax.vmap(function)).lower(*matrices).compile().as_text())
    assert shapes, "expected calls of LAPACK"
    assert all(len(shape) <= 2 for shape in shapes), shapes
    plain = jax.jit(jax.vmap(REFERENCE[name][1])).lower(*matrices).compile().as_text()
    assert any(len(shape) > 2 for shape in lapack_operands(plain)), "JAX itself no longer makes batches"


_THREADS = """
import threading, jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
from jaxpot.core import linalg
random = np.random.default_rng(0)
a = jnp.asarray(random.normal(size=(200, 27, 27)) + 9.0 * np.eye(27))
calls = [
    jax.jit(jax.vmap(f))
    for f in (lambda a: linalg.solve(a, a[:, 0]), lambda a: linalg.cholesky(a @ a.T), lambda a: linalg.eigh(a)[0])
]
def work():
    for _ in range(30):
        for call in calls:
            jax.block_until_ready(call(a))
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done")
"""


def test_threads_with_batches_do_not_wait_for_each_other():
    """JAX's own calls lock up here within the first rounds on two cores (benchmarks/jaxlib_lockup.py)."""
    result = subprocess.run([sys.executable, "-c", _THREADS], capture_output=True, text=True, timeout=240)
    assert result.stdout == "done\n", result.stderr
