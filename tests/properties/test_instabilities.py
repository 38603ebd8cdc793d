"""Soft modes: what they are, and where they lead."""

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.core.pytree import pytree
from jaxpot.core.symmetry import space_group
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.potentials.base import Scaled
from jaxpot.properties import instabilities as module

PAIRS = jp.potentials.LennardJones(0.4, 2.3, 5.0, shift="smooth")


@pytest.fixture(scope="module")
def cubic():
    """Body-centred, which pairs do not like."""
    return jp.relax(PAIRS, jp.Structure.of(bulk("Cu", "bcc", 2.9)), cell=True).structure


@pytest.fixture(scope="module")
def modes(cubic):
    return jp.soft_modes(PAIRS, cubic)


def test_frequencies_are_curvatures_along_the_displacements(cubic, modes):
    assert [mode.q.tolist() for mode in modes[:1]] == [[0.5, 0.0, 0.0]] and len(modes) == 6  # the six points N
    for mode in modes[:2]:
        assert np.linalg.norm(mode.displacements, axis=1).max() == pytest.approx(1.0)

        def at(x, mode=mode):
            return float(jp.energy(PAIRS, mode.displaced(cubic, x)))

        h = 2e-3
        cells = 2 ** int(np.sum(np.abs(mode.q) > 0))
        curvature = (at(h) + at(-h) - 2.0 * at(0.0)) / h**2 / cells
        mass = float(cubic.masses[0])
        assert curvature == pytest.approx(-mass * (2.0 * np.pi * mode.frequency) ** 2, rel=1e-4)


def test_cubic_pairs_become_close_packed(cubic):
    said = []
    found = jp.follow_soft_modes(PAIRS, cubic, callback=said.append)
    assert space_group(found.structure, 1e-4).international == "P6_3/mmc" and len(found.structure) == 2
    assert found.energies[0] - found.energies[-1] > 0.19 and jp.soft_modes(PAIRS, found.structure) == []
    assert said[0].startswith("a mode of -3.89 THz at q = (0.5, 0, 0)") and "meV/atom" in said[1]


def test_a_minimum_stays(cubic):
    close = jp.Structure.of(bulk("Cu", "fcc", 3.6))
    found = jp.follow_soft_modes(PAIRS, close)
    assert found.modes == () and len(found.energies) == 1


@pytree
class Sharp(Scaled):
    """What it wraps, times a factor that rounding takes away."""

    @property
    def narrow(self):
        return "a factor"

    def rounded(self):
        return self.potential


def test_narrow_features_are_not_followed(cubic):
    said = []
    found = jp.follow_soft_modes(Sharp(PAIRS, 2.0), cubic, callback=said.append)
    assert said[0].startswith("a factor: wider ones are used")
    assert found.energies[0] == pytest.approx(float(jp.energy(PAIRS, cubic)))


def test_what_is_refused(cubic, monkeypatch):
    with pytest.raises(DataError, match="soft modes are of crystals"):
        jp.soft_modes(PAIRS, jp.Structure([[0, 0, 0], [0, 0, 2.5]], np.eye(3) * 9, ["Cu", "Cu"], pbc=False))
    monkeypatch.setattr(module, "_MOST_ATOMS", 1)
    with pytest.raises(ConvergenceError, match="needs a cell of 2 atoms"):
        jp.follow_soft_modes(PAIRS, cubic)
    monkeypatch.setattr(module, "_MOST_ATOMS", 160)
    monkeypatch.setattr(module, "_ROUNDS", 0)
    with pytest.raises(ConvergenceError, match="soft modes after 0 were followed"):
        jp.follow_soft_modes(PAIRS, cubic)
