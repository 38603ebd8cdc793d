"""The crystals on which properties are proved: cubic ones, and ones with internal strain to hide nothing."""

from functools import cache

import numpy as np
from ase.build import bulk

import jaxpot as jp


def stiff_silicon():
    """Stillinger-Weber plus a weak long pair term: no ideal angles, several species of distance."""
    extra = jp.potentials.LennardJones(0.04, 2.2, 6.0, shift="smooth")
    return jp.potentials.StillingerWeber.silicon() + extra


def ionic():
    """A binary Lennard-Jones crystal in which unlike atoms attract more: rocksalt, without charges."""
    return jp.potentials.LennardJones(
        [[0.2, 1.0], [1.0, 0.2]], [[3.8, 2.4], [2.4, 3.8]], 7.0, shift="smooth", species=("Na", "Cl")
    )


def wurtzite():
    a, c, u = 3.84, 6.27, 0.376
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    fractional = [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, 0.5 + u]]
    return jp.Structure(np.array(fractional) @ cell, cell, [14] * 4)


def low_symmetry():
    """Three silicon atoms in a triclinic cell, relaxed from a random start: no symmetry but the identity."""
    rng = np.random.default_rng(5)
    cell = np.array([[4.0, 0, 0], [0.9, 4.1, 0], [-0.6, 0.7, 4.3]])
    fractional = np.array([[0, 0, 0], [0.35, 0.3, 0.4], [0.7, 0.65, 0.75]]) + rng.uniform(-0.05, 0.05, (3, 3))
    return jp.Structure(fractional @ cell, cell, [14] * 3)


START = {
    "silicon": (jp.potentials.StillingerWeber.silicon, lambda: bulk("Si", a=5.43)),
    "copper": (jp.potentials.SecondMoment.copper, lambda: bulk("Cu", a=3.61)),
    "rocksalt": (ionic, lambda: bulk("NaCl", "rocksalt", a=5.3)),
    "wurtzite": (stiff_silicon, wurtzite),
    "triclinic": (stiff_silicon, low_symmetry),
}


@cache
def relaxed(name, pressure_GPa=0.0):
    """(potential, relaxed structure) of one of the crystals."""
    make, start = START[name]
    potential = make()
    found = jp.relax(potential, start(), cell=True, pressure=pressure_GPa * jp.units.GPa, fmax=1e-9, steps=2000)
    if not found.converged:
        raise RuntimeError(f"{name} did not relax: fmax {found.fmax}")
    return potential, found.structure
