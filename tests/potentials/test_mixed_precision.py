"""Mixed precision: formulas in float32, coordinates and sums in double."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import DataError, PrecisionError
from jaxpot.potentials import EAM, Buckingham, LennardJones, Morse, StillingerWeber
from jaxpot.potentials.base import cast
from jaxpot.potentials.terms import inner_cutoffs


def rattled(size=1, far=0.0):
    atoms = bulk("Si", cubic=True) * (size, size, size)
    atoms.rattle(0.1, seed=3)
    atoms.positions += far
    return jp.Structure.of(atoms)


def error(found, exact):
    """Median relative error of forces."""
    return np.median(np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1))


def test_formulas_are_single_and_coordinates_are_double():
    exact, mixed = StillingerWeber.silicon(), jp.mixed_precision(StillingerWeber.silicon())
    for far in (0.0, 1e5):  # single precision would know positions to 8e-3 A there
        structure = rattled(far=far)
        found, expected = jp.evaluate(mixed, structure), jp.evaluate(exact, structure)
        assert found.energy.dtype == found.forces.dtype == found.stress.dtype == np.float64
        assert 1e-8 < error(found.forces, expected.forces) < 3e-6
        np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-6)
        np.testing.assert_allclose(found.stress, expected.stress, rtol=0, atol=3e-6 * np.abs(expected.stress).max())
    text = str(jax.make_jaxpr(cast(mixed, jnp.float64).site_energy)(jp.Environment(
        *np.ones((4, 3)), jnp.full(3, 14), jnp.asarray(14)
    )))
    assert "f64[3] = exp" not in text and "f32[3] = exp" in text


def test_sums_and_factors_keep_their_terms():
    long, short = Buckingham(300.0, 0.3, 1.0, 6.0), LennardJones(0.1, 1.5, 3.0)
    mixed = jp.mixed_precision(long + 0.5 * short)
    assert inner_cutoffs(mixed) == (3.0,)
    assert repr(jp.mixed_precision(mixed)) == repr(mixed)
    structure = rattled()
    np.testing.assert_allclose(
        jp.energy(mixed, structure), jp.energy(long + 0.5 * short, structure), rtol=1e-6
    )
    assert "mixed_precision(" in repr(mixed)


def test_derivatives_and_parameters():
    """A Hessian-vector product and a derivative by a parameter go through, to single precision."""
    exact = Morse(0.4, 1.5, 2.4, 5.0, shift="smooth")
    mixed, structure = jp.mixed_precision(exact), rattled()
    v = np.random.default_rng(0).normal(size=structure.positions.shape)
    found, expected = (jp.hessian_vector_product(p, structure, v) for p in (mixed, exact))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    slope, same = jax.grad(jp.energy)(mixed, structure), jax.grad(jp.energy)(exact, structure)
    for one, two in zip(jax.tree.leaves(slope), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)


def test_fine_tables_keep_their_digits():
    """Differences of neighbouring values of a table with 10,000 points have three digits in single precision."""
    n, cutoff = 10000, 5.5
    r = np.linspace(0.0, cutoff, n)
    fall = (1.0 - r / cutoff) ** 3
    rho = np.linspace(0.0, 40.0, n)
    table = EAM(
        -np.sqrt(rho + 1e-3)[None], (8.0 * np.exp(-1.5 * r) * fall + 0.1)[None],
        (5.0 * np.exp(-1.1 * r) * fall)[None], 40.0 / (n - 1), cutoff / (n - 1), cutoff, ("Si",),
    )
    structure = rattled()
    expected = jp.forces(table, structure)
    rounded = jax.tree.map(lambda a: np.float32(a) if a.dtype == np.float64 else a, structure)
    assert error(jp.forces(jp.mixed_precision(table), structure), expected) < 3e-6
    assert error(jp.forces(table, rounded), expected) < 1e-5  # positions are rounded, too


def test_what_is_no_potential_is_refused():
    with pytest.raises(DataError, match="expected a potential, got int"):
        jp.mixed_precision(3)


def test_a_gaussian_process_is_refused():
    from jaxpot.descriptors import Pair
    from jaxpot.kernels import SquaredExponential
    from jaxpot.potentials import Described
    from jaxpot.readouts import SparseGP

    gap = Described(Pair(4.0, 1.0), SparseGP(SquaredExponential(2.0), np.ones((3, 1)), [0.3, -0.2, 0.4]), ["Si"])
    for potential in (gap, 2.0 * gap + StillingerWeber.silicon()):
        with pytest.raises(PrecisionError, match="needs double precision"):
            jp.mixed_precision(potential)


def test_dynamics_and_files(tmp_path):
    mixed, structure = jp.mixed_precision(StillingerWeber.silicon()), rattled()
    dynamics = jp.md.NVE(mixed, 1.0 * jp.units.fs)
    start = dynamics.init(structure, 600.0)
    end = jp.md.run(dynamics, start, 200).state
    assert end.structure.positions.dtype == np.float64
    assert abs(float(dynamics.conserved(end) - dynamics.conserved(start))) / len(structure) < 1e-3
    jp.save(mixed, tmp_path / "mixed.jaxpot")
    again = jp.load(tmp_path / "mixed.jaxpot")
    np.testing.assert_array_equal(jp.forces(again, structure), jp.forces(mixed, structure))
