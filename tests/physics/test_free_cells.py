"""Cells of which some strains are free: slabs in their plane, wires along their axis, and masks as ASE's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.properties.coordinates import free_strains

IN_PLANE = [True, True, False, False, False, True]


@pytest.fixture(scope="module")
def copper():
    return jp.potentials.SecondMoment.copper()


@pytest.fixture(scope="module")
def slab():
    """Three strained layers of copper (111)."""
    atoms = fcc111("Cu", (1, 1, 3), a=3.55, vacuum=5.0)
    atoms.set_cell(atoms.cell.array @ np.diag([1.02, 0.99, 1.0]), scale_atoms=True)
    atoms.rattle(0.03, seed=1)
    return atoms


def test_a_slab_relaxes_in_its_plane_as_in_ase(copper, slab):
    result = jp.relax(copper, slab, cell=True, fmax=1e-8)
    assert result.converged
    per_area = -np.asarray(jp.virials(copper, result.structure)).sum(0) / np.linalg.norm(np.cross(*result.structure.cell[:2]))
    assert np.abs(per_area[:2, :2]).max() < 1e-8
    np.testing.assert_array_equal(result.structure.cell[2], slab.cell.array[2])
    peer = slab.copy()
    peer.pbc = True  # 10 A of vacuum, more than the cutoff: a stress for ASE
    peer.calc = jp.ase_calculator(copper)
    BFGS(FrechetCellFilter(peer, mask=IN_PLANE), logfile=None).run(fmax=1e-5)
    assert result.energy == pytest.approx(peer.get_potential_energy(), abs=1e-9)
    lengths = np.linalg.norm(np.asarray(result.structure.cell), axis=1)
    np.testing.assert_allclose(lengths, peer.cell.lengths(), atol=1e-5)
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-7)
    # A plane that lies askew: the energy is the same.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    askew = jp.Structure(slab.positions @ turn, slab.cell.array @ turn + [[0] * 3, [0] * 3, slab.cell.array[0] @ turn], [29] * 3, pbc=slab.pbc)
    turned = jp.relax(copper, askew, cell=True, fmax=1e-8)
    assert turned.energy == pytest.approx(float(result.energy), abs=1e-9)
    np.testing.assert_array_equal(turned.structure.cell[2], askew.cell[2])


def test_the_derivative_of_a_relaxed_plane_is_that_of_slabs_relaxed_anew(slab):
    morse = jp.potentials.Morse(0.3, 1.4, 2.7, 5.0, shift="smooth")

    def plane(alpha):
        relaxed = jp.relax(morse.replace(alpha=alpha), slab, cell=True, fmax=1e-10).structure
        area = jnp.linalg.norm(jnp.cross(relaxed.cell[0], relaxed.cell[1]))
        return area, relaxed.positions[2, 2] - relaxed.positions[0, 2]

    _, slopes = jax.jvp(plane, (1.4,), (1.0,))
    h = 1e-4
    for slope, up, down in zip(slopes, plane(1.4 + h), plane(1.4 - h), strict=True):
        assert abs(slope) > 0.01 and slope == pytest.approx(float(up - down) / (2 * h), rel=1e-6)


def test_a_wire_relaxes_along_its_axis(copper):
    wire = jp.Structure([[0.0, 0.1, 0.2]], np.diag([9.0, 9.0, 2.5]), [29], pbc=(False, False, True))
    result = jp.relax(copper, wire, cell=True)
    lengths = np.linspace(-1e-3, 1e-3, 3) + float(result.structure.cell[2, 2])
    energies = [float(jp.energy(copper, wire.moved(wire.positions, jnp.diag(jnp.array([9.0, 9.0, z]))))) for z in lengths]
    assert result.converged and energies[1] < min(energies[0], energies[2]) and abs(energies[0] - energies[2]) < 1e-6
    np.testing.assert_array_equal(result.structure.cell[:2], wire.cell[:2])


def test_a_mask_frees_the_strains_that_it_frees_in_ase():
    silicon = jp.potentials.StillingerWeber.silicon()
    atoms = bulk("Si", a=5.3)
    atoms.rattle(0.05, seed=1)
    mask = [1, 0, 1, 0, 0, 1]
    result = jp.relax(silicon, atoms, cell=mask)
    peer = atoms.copy()
    peer.calc = jp.ase_calculator(silicon)
    BFGS(FrechetCellFilter(peer, mask=mask), logfile=None).run(fmax=1e-5)
    assert result.converged and result.energy == pytest.approx(peer.get_potential_energy(), abs=1e-7)
    stress = np.asarray(jp.stress(silicon, result.structure)) / jp.units.GPa
    assert np.abs(stress[[0, 2, 0], [0, 2, 1]]).max() < 1e-4 < 1.0 < abs(stress[1, 1])


def test_free_strains_and_refusals(copper, slab):
    structure = jp.Structure.of(slab)
    assert free_strains(structure, False).shape == (0, 3, 3) and free_strains(structure, True).shape == (3, 3, 3)
    np.testing.assert_array_equal(free_strains(structure, IN_PLANE), free_strains(structure, True))
    for cell, match in (("in-plane", "six booleans"), ([1, 0], "six booleans"), (2, "six booleans"), ([0, 0, 1, 0, 0, 0], "open")):
        with pytest.raises(DataError, match=match):
            jp.relax(copper, slab, cell=cell)
    with pytest.raises(DataError, match="pressure acts on the cell of a crystal"):
        jp.relax(copper, slab, cell=True, pressure=0.1)
