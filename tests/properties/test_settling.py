"""Ions of strained copies of a crystal come to rest, by forces alone, where derivatives say."""

import numpy as np
import pytest
from models import SILICON

import jaxpot as jp
from jaxpot.errors import ConvergenceError
from jaxpot.potentials import LennardJones
from jaxpot.properties.coordinates import symmetric_coordinates, voigt_basis
from jaxpot.properties.second_order import route
from jaxpot.properties.settling import Settling
from jaxpot.properties.strained_ions import near_rest, static_expansion

POTENTIAL = SILICON + LennardJones(0.04, 2.2, 6.0, shift="smooth")  # no ideal angles
A = 3.84


@pytest.fixture(scope="module")
def crystal():
    """Wurtzite silicon at rest, its strains and displacements, lists and second derivatives."""
    c = np.sqrt(8.0 / 3.0) * A
    cell = [[A, 0.0, 0.0], [-A / 2, A * np.sqrt(0.75), 0.0], [0.0, 0.0, c]]
    places = [[1 / 3, 2 / 3, 0.0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.38], [2 / 3, 1 / 3, 0.88]]
    start = jp.Structure(np.array(places) @ cell, cell, ["Si"] * 4)
    structure = jp.relax(POTENTIAL, start, cell=True, fmax=1e-10).structure
    strains, moves = symmetric_coordinates(structure)
    structure, way = route(POTENTIAL, structure, skin=0.4)
    blocks = way.at(POTENTIAL, structure).blocks(strains)
    return structure, way.listed, strains, moves, blocks


def test_forces_vanish_after_a_strain(crystal):
    structure, _, strains, moves, blocks = crystal
    assert len(moves) == 1, "one displacement keeps the symmetry: it is the height of a bond"
    settled = Settling(POTENTIAL, structure, moves).strained(structure, blocks, strains, np.array([0.02, -0.03]))
    forces = np.asarray(jp.forces(POTENTIAL, settled))
    assert np.abs(forces).max() < 1e-11
    # Any strain, all displacements: bonds turn.
    every = np.eye(12).reshape(12, 4, 3)[3:]
    basis = voigt_basis()
    whole = route(POTENTIAL, structure, skin=0.4)[1].at(POTENTIAL, structure).blocks(basis)
    sheared = Settling(POTENTIAL, structure, every).strained(structure, whole, basis, np.array([0.0, 0.01, 0, 0.02, 0.03, 0]))
    assert np.abs(np.asarray(jp.forces(POTENTIAL, sheared))).max() < 1e-11


def test_the_same_as_by_derivatives(crystal):
    structure, listed, strains, moves, blocks = crystal
    settling = Settling(POTENTIAL, structure, moves)
    slope, curvature = static_expansion(POTENTIAL, structure, listed, strains, moves)
    np.testing.assert_allclose(settling.curvature(blocks), curvature, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(blocks.slope, slope, atol=1e-9)
    for size in (1e-3, 5e-4):
        e = size * np.array([1.0, -2.0])
        by_forces = settling.strained(structure, blocks, strains, e, to_rest=False)
        second = near_rest(POTENTIAL, structure, listed, strains, moves, e)
        assert np.abs(np.asarray(by_forces.positions) - np.asarray(second.positions)).max() < 100.0 * size**3


def test_forces_that_a_crystal_had_stay(crystal):
    structure, _, strains, moves, _ = crystal
    aside = structure.moved(structure.positions + 1e-3 * moves[0])
    blocks = route(POTENTIAL, aside, skin=0.4)[1].at(POTENTIAL, aside).blocks(strains)
    e = np.array([0.01, 0.0])
    settled = Settling(POTENTIAL, aside, moves).strained(aside, blocks, strains, e, to_rest=False)
    deformation = np.eye(3) + np.tensordot(e, strains, 1)
    slopes = [
        np.sum(moves[0] * (np.asarray(jp.forces(POTENTIAL, at)) @ stretch.T))
        for at, stretch in ((aside, np.eye(3)), (settled, deformation))
    ]
    assert abs(slopes[0]) > 1e-3 and slopes[1] == pytest.approx(slopes[0], rel=1e-9)


def test_ions_that_find_no_place_are_an_error(crystal):
    structure, _, strains, moves, blocks = crystal
    soft = blocks.replace(internal=0.0 * blocks.internal)
    for bad in (soft, blocks.replace(coupling=np.nan * blocks.coupling)):
        with pytest.raises(ConvergenceError, match="do not come to rest"):
            Settling(POTENTIAL, structure, moves).strained(structure, bad, strains, np.array([0.1, 0.1]))
