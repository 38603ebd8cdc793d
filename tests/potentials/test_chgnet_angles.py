"""Angles of 180 degrees: what second derivatives of a CHGNet are there, and what atoms feel that move."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import DataError, JaxpotWarning
from jaxpot.potentials import CHGNet, LennardJones
from jaxpot.properties.kinks import needs_rounding

MODEL = CHGNet.random(3, ("O", "Mg"), cutoff=3.2, short=2.9, channels=6, hops=2, radial=4, angular=3)
MODEL = MODEL.replace(bond_weights=20.0 * MODEL.bond_weights, angle_embedding=3.0 * MODEL.angle_embedding)
ROCKSALT = jp.Structure([[0.0] * 3, [2.12, 0.0, 0.0]], 2.12 * (1 - np.eye(3)), ["Mg", "O"])
ZINCBLENDE = jp.Structure([[0.0] * 3, [1.1] * 3], 2.2 * (1 - np.eye(3)), ["Mg", "O"])


def felt(potential, by):
    """Curvature by the forces of a crystal whose Mg have moved against its O, eV/A^2."""
    moved = ROCKSALT.moved(jnp.asarray(ROCKSALT.positions).at[0, 0].add(by))
    return -float(jp.forces(potential, moved)[0, 0]) / by


def exact(potential):
    matrix = jp.second_order(potential, ROCKSALT).dynamical_matrix([0.0, 0.0, 0.0])
    return float(matrix[0, 0].real) * ROCKSALT.masses[0]


@pytest.mark.thorough  # two programs of waves through hops
def test_rounded_second_derivatives_are_what_atoms_feel():
    rounded = MODEL.rounded()
    with pytest.warns(JaxpotWarning, match=r"narrow features here, angles of 180 degrees.*potential.rounded\(\)"):
        sharp = exact(MODEL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smooth = exact(rounded)
    assert sharp == pytest.approx(felt(MODEL, 1e-5), rel=1e-3)  # exact, and nothing that a motion feels
    far = felt(MODEL, 0.04)
    assert abs(smooth - far) < 0.2 * abs(sharp - far)
    assert felt(rounded, 0.04) == pytest.approx(far, rel=0.05)
    assert abs(jp.energy(rounded, ROCKSALT) - jp.energy(MODEL, ROCKSALT)) < 0.01


def test_rounding_is_asked_for_where_bonds_are_straight():
    assert needs_rounding(MODEL, ROCKSALT) and not needs_rounding(MODEL, ZINCBLENDE)
    assert not needs_rounding(MODEL.rounded(), ROCKSALT)
    pairs = LennardJones(0.01, 2.1, 3.0)
    total = pairs + 0.5 * MODEL
    assert needs_rounding(total, ROCKSALT) and not needs_rounding(total.rounded(), ROCKSALT)
    assert pairs.rounded() is pairs and pairs.narrow == (pairs + pairs).narrow == total.rounded().narrow == ""
    assert total.narrow == MODEL.narrow
    bent = ROCKSALT.moved(jnp.asarray(ROCKSALT.positions).at[0].add(jnp.array([0.05, 0.04, 0.03])))
    assert not needs_rounding(MODEL, bent)


def test_a_file_keeps_the_rounding(tmp_path):
    jp.save(MODEL.rounded(), tmp_path / "rounded.npz")
    assert jp.load(tmp_path / "rounded.npz").rounding == MODEL.rounded().rounding != MODEL.rounding


@pytest.mark.parametrize("rounding", [0.0, -1e-6, 1.0, np.nan])
def test_a_rounding_that_is_none_is_refused(rounding):
    with pytest.raises(DataError, match="rounding: expected a number between 0 and 1"):
        MODEL.replace(rounding=rounding)


def test_vibrations_of_a_straight_molecule_are_warned_of():
    straight = jp.Structure([[-2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]], np.eye(3), ["O", "Mg", "O"], pbc=False)
    with pytest.warns(JaxpotWarning, match="angles of 180 degrees"):
        jp.vibrations(MODEL, straight)
