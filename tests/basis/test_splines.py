import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.splines import coefficients, interpolated, locate, slopes


def curve(table, step, x):
    m, p = locate(x, step, table.shape[-1])
    return interpolated(coefficients(table, x.dtype), m, p)


def test_polynomials_up_to_fourth_order_have_exact_slopes_inside():
    x = np.arange(9.0)
    table = 0.3 * x**4 - x**2 + 2.0
    assert np.allclose(slopes(jnp.asarray(table))[2:-2], (1.2 * x**3 - 2 * x)[2:-2], rtol=1e-13)


def test_cubics_are_reproduced_away_from_the_ends():
    step = 0.25
    x = step * np.arange(12)
    table = jnp.asarray(x**3 - 2 * x + 1)
    at = jnp.linspace(2 * step, 9 * step, 37)
    assert np.allclose(curve(table, step, at), at**3 - 2 * at + 1, rtol=1e-13)


def test_the_curve_passes_through_the_table_and_is_smooth_at_the_knots():
    table = jnp.asarray(np.random.default_rng(0).normal(size=20))
    knots = 0.1 * jnp.arange(20)
    assert np.allclose(curve(table, 0.1, knots), table, atol=1e-12)
    slope = jax.vmap(jax.grad(lambda x: curve(table, 0.1, x)))
    inner = knots[1:-1]
    assert np.allclose(slope(inner - 1e-10), slope(inner + 1e-10), atol=1e-5)


def test_beyond_the_table_the_last_value_stays():
    table = jnp.arange(8.0) ** 2
    assert curve(table, 0.5, jnp.array(4.2)) == 49.0
    m, p = locate(jnp.array([-0.1, 0.0, 3.49, 99.0]), 0.5, 8)
    assert m.dtype == jnp.int32
    assert m.tolist() == [0, 0, 6, 6]
    assert np.allclose(p, [-0.2, 0.0, 0.98, 1.0])


def test_stacked_tables_are_indexed_by_table_and_interval():
    tables = jnp.asarray(np.random.default_rng(1).normal(size=(3, 10)))
    m, p = locate(jnp.array(0.37), 0.1, 10)
    for k in range(3):
        single = interpolated(coefficients(tables[k], tables.dtype), m, p)
        assert interpolated(coefficients(tables, tables.dtype), m + 10 * k, p) == single


def test_tabulated_values_have_derivatives():
    table = jnp.asarray(np.random.default_rng(2).normal(size=10))
    for at in (0.03, 0.42, 0.88):
        x = jnp.array(at)
        gradient = jax.grad(curve)(table, 0.1, x)
        for k in range(10):  # the curve is linear in the table
            assert np.isclose(gradient[k], curve(jnp.eye(10)[k], 0.1, x), atol=1e-12)


def test_single_precision_is_rounded_after_the_differences():
    # Curvature is 1e-4 of the values here: differences of rounded values would have three digits.
    step, x = 0.01, np.linspace(0.05, 0.9, 23)
    table = jnp.asarray(np.exp(-0.5 * step * np.arange(100)))
    slope = jax.vmap(jax.grad(lambda x: curve(table, step, x)))(jnp.asarray(x, jnp.float32))
    assert slope.dtype == jnp.float32
    exact = jax.vmap(jax.grad(lambda x: curve(table, step, x)))(jnp.asarray(x))
    assert np.abs(slope - exact).max() < 3e-7
