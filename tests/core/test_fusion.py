"""Arrays that are computed once: the same numbers, and a division that the compiler must not remove."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.fusion import materialised

X = np.array([0.0, -0.0, 1.0 / 3.0, -1e300, 1e-300, np.inf])


def test_nothing_changes():
    assert np.asarray(materialised(X)).tobytes() == X.tobytes()
    assert materialised(X[:3].astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(materialised(X, np.array([np.nan] * 2 + [1.0] * 4)), [np.nan, np.nan, *X[2:]])
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(materialised(x) ** 2))(X[:4]), 2.0 * X[:4])
    np.testing.assert_array_equal(jax.jvp(materialised, (X,), (np.arange(6.0),))[1], np.arange(6.0))


def test_the_compiler_leaves_it():
    """What it is for: a sum that two loops read is there once."""
    program = jax.jit(lambda x: (jnp.cumsum(materialised(x * x + 1.0)), jnp.sin(materialised(x * x + 1.0))))
    assert program.lower(jnp.asarray(X)).compile().as_text().count("divide(") == 1
