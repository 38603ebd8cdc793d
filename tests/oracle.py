"""A small training set made on the spot: disturbed silicon, labelled by Stillinger and Weber's potential."""

from functools import lru_cache

import numpy as np
from ase.build import bulk

import jaxpot as jp


@lru_cache(maxsize=4)
def silicon_frames(count=8, seed=0):
    """Frames of 8 atoms, strained and rattled, with energies, forces and stresses."""
    potential, rng = jp.potentials.StillingerWeber.silicon(), np.random.default_rng(seed)
    structures = []
    for k in range(count):
        atoms = bulk("Si", cubic=True, a=5.43)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.03 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.02 + 0.02 * k, seed=seed + k)
        structures.append(jp.Structure.of(atoms))
    found = jp.evaluate_many(potential, structures)
    return tuple(
        jp.Frame(s, energy=float(r.energy), forces=r.forces, stress=r.stress, config_type="hot" if k % 2 else "cold")
        for k, (s, r) in enumerate(zip(structures, found, strict=True))
    )


def silicon(count=8, seed=0):
    """These as a dataset, energies relative to free atoms."""
    return jp.Dataset.of(silicon_frames(count, seed), e0={"Si": 0.0})
