"""Traces of functions of D: against eigenvalue sums by differences, and against determinants and inverses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.errors import DataError
from jaxpot.properties.modes import mode_entropy, mode_free_energy, mode_heat_capacity, zero_modes
from jaxpot.properties.trace_functions import matrix_function, mesh_average, trace_function

# w2 = 1 is 16 THz in internal units: these spectra look like those of crystals.
SPECTRA = {
    "distinct": [0.5, 0.9, 1.7, 2.2, 2.7],
    "twofold": [0.5, 0.5, 1.7, 1.7, 2.2],
    "threefold": [0.6, 0.6, 0.6, 2.2, 2.2],
    "identity": [0.8, 0.8, 0.8, 0.8, 0.8],
    "rounding": [0.8, 0.8 + 1e-15, 0.8 + 1e-13, 1.9, 2.2],
    "nearly": [0.8, 0.8 + 1e-9, 0.8 + 1e-5, 0.99, 1.01],
    "wide": [0.01, 0.01, 0.3, 0.38, 4.0],
}
TEMPERATURES = [0.0, 40.0, 300.0, 2000.0]
ORIGIN = jnp.zeros(2)


def hermitian(rng, n, real=False):
    matrix = rng.normal(size=(n, n)) + (0.0 if real else 1j) * rng.normal(size=(n, n))
    return np.real(matrix + matrix.T) / 2 if real else (matrix + matrix.conj().T) / 2


def with_spectrum(rng, eigenvalues, real=False):
    _, vectors = np.linalg.eigh(hermitian(rng, len(eigenvalues), real))
    return (vectors * np.asarray(eigenvalues)) @ vectors.conj().T


def surface(eigenvalues, real=False):
    """Matrices of a curved surface through one with the given spectrum; `at` is the point t (2,) of it."""
    rng = np.random.default_rng(7)
    scale = 0.1 * min(eigenvalues)
    changes = [scale * hermitian(rng, len(eigenvalues), real) for _ in range(3)]
    return np.stack([with_spectrum(rng, eigenvalues, real), *changes])


def at(matrices, t):
    origin, a, b, c = matrices
    return origin + t[0] * a + t[1] * b + (t[0] * t[1] + 0.5 * t[0] ** 2) * c


def free_energy(t, matrices, temperature):
    return trace_function(mode_free_energy, at(matrices, t), temperature)


# One compilation for all the spectra.
gradient = jax.jit(jax.grad(free_energy))
hessian = jax.jit(jax.hessian(free_energy))


def derivatives(f):
    """f and its first three derivatives along one direction, in one compilation."""
    line = lambda s, matrices: f(jnp.array([0.6, -0.8]) * s, matrices)  # noqa: E731
    orders = [line]
    for _ in range(3):
        orders.append(jax.jacfwd(orders[-1]))
    return jax.jit(lambda s, matrices: jnp.stack([order(s, matrices) for order in orders]))


def richardson(function, order, step, levels=6):
    """First or second derivative by central differences, extrapolated in the square of the step."""

    def difference(h):
        if order == 1:
            return (function(h) - function(-h)) / (2 * h)
        return (function(h) - 2 * function(0.0) + function(-h)) / h**2

    row = [difference(step / 1.6**i) for i in range(levels)]
    for m in range(1, levels):
        factor = 1.6 ** (2 * m)
        row = [(factor * row[i + 1] - row[i]) / (factor - 1) for i in range(len(row) - 1)]
    return row[0]


@partial(jax.jit, static_argnums=0)
def _mode_sum(f, w2, parameters):
    return jnp.sum(jax.vmap(lambda x: f(x, *parameters))(w2))


def eigenvalue_sum(f, matrix, *parameters):
    return float(_mode_sum(f, np.linalg.eigvalsh(matrix), parameters))


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("real", [False, True], ids=["complex", "real"])
@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_derivatives_are_those_of_the_eigenvalue_sum(name, real, temperature):
    matrices = surface(SPECTRA[name], real)
    first, second = gradient(ORIGIN, matrices, temperature), hessian(ORIGIN, matrices, temperature)
    for direction in np.array([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]]):

        def along(h, direction=direction):
            return eigenvalue_sum(mode_free_energy, at(matrices, h * direction), temperature)

        curvature = float(direction @ second @ direction)
        assert float(first @ direction) == pytest.approx(richardson(along, 1, 0.5), rel=1e-10, abs=1e-13)
        assert curvature == pytest.approx(richardson(along, 2, 0.5), rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("modes", [(jax.jacfwd, jax.jacfwd), (jax.jacrev, jax.jacfwd), (jax.jacrev,) * 2])
def test_forward_and_reverse_mode_agree(modes):
    outer, inner = modes  # the fourth pair is `hessian`
    other = jax.jit(outer(inner(free_energy)))
    for spectrum in SPECTRA.values():
        arguments = (ORIGIN, surface(spectrum), 300.0)
        expected = np.asarray(hessian(*arguments))
        assert np.abs(expected).min() > 0.0
        np.testing.assert_allclose(other(*arguments), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_three_orders_against_the_determinant():
    """tr log D = log det D, which JAX differentiates without eigenvectors."""
    ours = derivatives(lambda t, matrices: trace_function(jnp.log, at(matrices, t)))
    theirs = derivatives(lambda t, matrices: jnp.linalg.slogdet(at(matrices, t))[1])
    for spectrum in SPECTRA.values():
        matrices = surface(spectrum)
        expected = np.asarray(theirs(0.0, matrices))
        assert np.abs(expected[1:]).min() > 1e-4
        rounding = 1e-15 * max(spectrum) / min(spectrum)  # of D itself, seen by its smallest eigenvalue
        np.testing.assert_allclose(ours(0.0, matrices), expected, rtol=0, atol=1e-14 + rounding)


def test_third_order_in_reverse_and_with_temperature():
    """What d alpha / d parameter needs, at a degeneracy: d3F/dt3 in reverse mode, and d3F/dt2dT."""
    matrices = surface(SPECTRA["threefold"])
    third, mixed = jax.jit(jax.jacrev(hessian, argnums=(0, 2)))(ORIGIN, matrices, 300.0)
    for k, direction in enumerate(np.eye(2)):
        expected = richardson(lambda h, d=direction: np.asarray(hessian(h * d, matrices, 300.0)), 1, 0.3)
        np.testing.assert_allclose(third[..., k], expected, rtol=1e-9, atol=1e-12)
    expected = richardson(lambda h: np.asarray(hessian(ORIGIN, matrices, 300.0 + h)), 1, 30.0)
    np.testing.assert_allclose(mixed, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("real", [False, True], ids=["complex", "real"])
def test_matrix_function_against_the_inverse(real):
    inverse = jax.jit(lambda d, e: jax.jvp(lambda d: matrix_function(lambda w2: 1.0 / w2, d), (d,), (e,)))
    rng = np.random.default_rng(3)
    for spectrum in SPECTRA.values():
        matrix, direction = with_spectrum(rng, spectrum, real), hermitian(rng, 5, real)
        value, tangent = inverse(matrix, direction)
        expected = np.linalg.inv(matrix)
        change = -expected @ direction @ expected
        np.testing.assert_allclose(value, expected, atol=1e-12 * np.abs(expected).max())
        np.testing.assert_allclose(tangent, change, atol=1e-12 * np.abs(change).max())


def test_functions_smooth_at_zero_and_singular_matrices():
    second = jax.jit(jax.grad(jax.grad(lambda t, a, b: trace_function(jnp.exp, a + t * b))))
    rng = np.random.default_rng(0)
    direction = hermitian(rng, 4)
    for matrix in (np.zeros((4, 4)), with_spectrum(rng, [0.0, 0.0, 0.0, 2.0])):
        along = lambda t, a=matrix: np.sum(np.exp(np.linalg.eigvalsh(a + t * direction)))  # noqa: E731
        assert float(second(0.0, matrix, direction)) == pytest.approx(richardson(along, 2, 0.5), rel=1e-8)


def test_temperature_derivatives_are_entropy_and_heat_capacity():
    matrices = surface(SPECTRA["threefold"])
    slope = jax.jit(jax.grad(free_energy, argnums=2))
    curvature = jax.jit(jax.grad(jax.grad(free_energy, argnums=2), argnums=2))
    for temperature in TEMPERATURES:
        entropy = eigenvalue_sum(mode_entropy, matrices[0], temperature)
        capacity = eigenvalue_sum(mode_heat_capacity, matrices[0], temperature)
        assert float(-slope(ORIGIN, matrices, temperature)) == pytest.approx(entropy, rel=1e-11, abs=1e-30)
        ours = float(-temperature * curvature(ORIGIN, matrices, temperature))
        assert ours == pytest.approx(capacity, rel=1e-10, abs=1e-30)


def test_vmap_and_map_are_the_loop():
    matrices = surface(SPECTRA["twofold"])
    points = np.random.default_rng(2).normal(size=(5, 2)) * 0.3
    points[0] = 0.0
    loop = np.array([gradient(t, matrices, 300.0) for t in points])
    together = jax.jit(jax.vmap(gradient, (0, None, None)))(points, matrices, 300.0)
    np.testing.assert_allclose(together, loop, rtol=1e-12)
    mapped = jax.jit(lambda points: jax.lax.map(lambda t: gradient(t, matrices, 300.0), points))
    np.testing.assert_allclose(mapped(points), loop, rtol=1e-12)

    def summed(a):
        return jnp.sum(jax.lax.map(lambda t: trace_function(jnp.log, a * at(matrices, t)), points))

    # tr log(a D) = N log a + tr log D
    assert float(jax.jit(jax.grad(summed))(1.0)) == pytest.approx(5 * 5, rel=1e-13)


def test_single_precision_stays_single():
    matrix = np.diag([1.0, 1.0, 2.0])
    slope = jax.jit(jax.grad(lambda d: trace_function(mode_free_energy, d, 300.0)))
    single = slope(matrix.astype(np.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, slope(matrix), rtol=1e-5, atol=1e-9)


def free_crystal(rng, masses):
    """A surface of mass-weighted Hessians that annihilate translations, and a basis of the other modes."""
    n = 3 * len(masses)
    translations = np.kron(np.sqrt(masses)[:, None] / np.sqrt(np.sum(masses)), np.eye(3))
    others = np.linalg.svd(translations)[0][:, 3:]
    changes = [0.1 * hermitian(rng, n - 3, real=True) for _ in range(3)]
    return np.stack([others @ block @ others.T for block in (0.9 * np.eye(n - 3), *changes)]), others


def test_excluded_translations_are_the_projected_matrix():
    """The optical modes are degenerate here, so that derivatives meet both kinds of divided differences."""
    crystal, others = free_crystal(np.random.default_rng(5), np.array([28.0, 16.0]))

    def whole(t, crystal):
        return trace_function(jnp.log, at(crystal, t), exclude=3)

    def part(t, crystal):
        return jnp.linalg.slogdet(others.T @ at(crystal, t) @ others)[1]

    here, there = (np.asarray(derivatives(f)(0.0, crystal)) for f in (whole, part))
    assert np.abs(there).min() > 1e-3
    np.testing.assert_allclose(here, there, rtol=1e-12)


def test_only_modes_of_zero_frequency_may_be_excluded():
    total = jax.jit(jax.value_and_grad(lambda d: trace_function(mode_free_energy, d, 300.0, exclude=1)))
    value, slope = total(np.diag([-0.3, 0.0, 1.0]))  # a soft mode must not hide in the place of a translation
    assert np.isnan(value) and np.isnan(slope).any()
    value, slope = total(np.diag([1e-15, 0.5, 1.0]))
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_imaginary_modes_are_nan():
    total = jax.jit(jax.value_and_grad(lambda d, t: trace_function(mode_free_energy, d, t)))
    for temperature in (0.0, 300.0):
        value, slope = total(np.diag([-0.2, 0.5, 1.0]), temperature)
        assert np.isnan(value) and np.isnan(slope).any()


def test_mesh_average_counts_translations_only_at_gamma():
    crystal, _ = free_crystal(np.random.default_rng(5), np.array([28.0, 16.0]))
    rng = np.random.default_rng(6)
    q_points = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, -2.0, 0.0]])
    weights = np.array([0.2, 0.7, 0.1])
    elsewhere = with_spectrum(rng, [0.1, 0.1, 0.1, 1.0, 1.0, 1.0])
    matrices = np.stack([at(crystal, (0.0, 0.0)), elsewhere, at(crystal, (1.0, 1.0))])
    exclude = zero_modes(q_points)
    assert exclude.tolist() == [3, 0, 3]
    average = jax.jit(lambda d: mesh_average(mode_entropy, d, weights, 300.0, exclude=exclude))(matrices)
    eigenvalues = [np.linalg.eigvalsh(d)[z:] for d, z in zip(matrices, exclude, strict=True)]
    expected = np.dot(weights, [float(jnp.sum(mode_entropy(e, 300.0))) for e in eigenvalues])
    assert float(average) == pytest.approx(expected, rel=1e-13)


def test_a_stack_of_matrices_is_refused():
    with pytest.raises(DataError, match="vmap"):
        trace_function(jnp.log, np.zeros((4, 3, 3)))
