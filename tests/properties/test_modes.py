"""One harmonic mode, against extended precision and its limits; refusals of unstable spectra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.errors import ConvergenceError
from jaxpot.properties.modes import (
    check_stable,
    mode_energy,
    mode_entropy,
    mode_free_energy,
    mode_heat_capacity,
)
from jaxpot.units import THz, hbar, kB


@pytest.mark.parametrize("x", [1e-5, 1e-3, 0.1, 0.69, 0.71, 1.0, 10.0, 40.0, 79.0])
def test_modes_against_extended_precision(x):
    temperature = 300.0
    w2 = (x * kB * temperature / hbar) ** 2
    x = np.longdouble(hbar * np.sqrt(w2) / (kB * temperature))  # as rounded
    n = 1 / np.expm1(x)
    thermal = np.log(-np.expm1(-x)) if x < 0.7 else np.log1p(-np.exp(-x))
    assert float(mode_free_energy(w2, temperature)) == pytest.approx(
        float(kB * temperature * (x / 2 + thermal)), rel=1e-13, abs=1e-15
    )
    energy, entropy = kB * temperature * x * (0.5 + n), kB * (x * n - thermal)
    capacity = kB * x**2 * n * (n + 1)
    assert float(mode_energy(w2, temperature)) == pytest.approx(float(energy), rel=1e-13)
    assert float(mode_entropy(w2, temperature)) == pytest.approx(float(entropy), rel=1e-12)
    assert float(mode_heat_capacity(w2, temperature)) == pytest.approx(float(capacity), rel=1e-12)
    # dF/dw2 = hbar / (2 w) (1/2 + n): the mean square displacement of the mode
    slope = float(jax.grad(mode_free_energy)(w2, temperature))
    assert slope == pytest.approx(float(hbar / (2 * np.sqrt(w2)) * (0.5 + n)), rel=1e-13)


def all_modes(w2, temperature):
    modes = (mode_free_energy, mode_energy, mode_entropy, mode_heat_capacity)
    return jnp.stack([f(w2, temperature) for f in modes])


def test_limits_of_temperature():
    both = (0, 1)
    slope, curvature = jax.jit(jax.jacfwd(all_modes, both)), jax.jit(jax.hessian(all_modes, both))
    w2 = 1.3
    quantum = hbar * float(np.sqrt(w2))
    for cold in (0.0, 1e-300, 1e-30, 1e-3, 1.0):
        np.testing.assert_allclose(all_modes(w2, cold), [0.5 * quantum, 0.5 * quantum, 0.0, 0.0], rtol=1e-15)
        slopes = slope(w2, cold)
        assert np.isfinite(slopes).all() and np.isfinite(curvature(w2, cold)).all()
        assert float(slopes[0][0]) == pytest.approx(0.25 * quantum / w2, rel=1e-13)  # the zero-point energy
    hot = 1e6
    assert float(mode_heat_capacity(w2, hot)) == pytest.approx(kB, rel=1e-6)
    assert float(mode_energy(w2, hot)) == pytest.approx(kB * hot, rel=1e-6)


def test_check_stable_names_the_place():
    w2 = np.array([[0.0, 0.0, 1e-14, 1.0], [0.1, 0.2, 0.3, 1.0]])
    q_points = np.array([[0.0, 0.0, 0.0], [0.5, 0.25, 0.0]])
    check_stable(w2, q_points, exclude=[3, 0])
    check_stable(w2[1:], q_points[1:])
    with pytest.raises(ConvergenceError, match=r"3 modes of zero frequency .* q = \(0, 0, 0\).*zero_modes"):
        check_stable(w2, q_points)
    with pytest.raises(ConvergenceError, match=r"left out at q = \(0.5, 0.25, 0\)"):
        check_stable(w2, q_points, exclude=3)
    frequency = 2.5
    w2[1, 0] = -((2 * np.pi * frequency * THz) ** 2)
    with pytest.raises(ConvergenceError, match=r"q = \(0.5, 0.25, 0\) with 2.5i THz"):
        check_stable(w2, q_points, exclude=[3, 0])
    w2[0] = [-0.3, 0.0, 0.0, 1.0]  # a soft mode at Gamma in the place of a translation
    with pytest.raises(ConvergenceError, match=r"q = \(0, 0, 0\)"):
        check_stable(w2, q_points, exclude=[3, 0])
    w2[0, 0] = np.nan
    with pytest.raises(ConvergenceError, match="not a number"):
        check_stable(w2, q_points, exclude=[3, 0])
