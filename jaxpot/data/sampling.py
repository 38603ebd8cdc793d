"""`draw_dataset`: training data from a potential: a crystal strained and rattled, labelled."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpot.checks import check_potential, check_species
from jaxpot.core.elements import symbol
from jaxpot.core.numbers import as_number, as_whole
from jaxpot.core.structure import Structure
from jaxpot.data.atomic_energies import LEAST_SQUARES, atomic_energies
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame, on_host
from jaxpot.errors import DataError
from jaxpot.observables import energy, evaluate_many
from jaxpot.potentials.base import Potential

_LARGEST_STRAIN = 0.2  # beyond it one cell in some thousands is turned inside out


def draw_dataset(
    potential: Potential, crystal: Any, count: int = 60, seed: int = 0, strain: float = 0.03,
    displacements: float | Sequence[float] = (0.02, 0.08, 0.2),
) -> Dataset:
    """Disturbed copies of a crystal, with the energies, forces and stresses of a potential.

    Frame k has the positions r (1 + e) + d_k u: the components of the symmetric strain e are normal with standard
    deviation `strain`, those of u with 1, and d_k goes round the amplitudes in their order, so that each has its share.

    Args:
        potential: any potential; it labels the frames.
        crystal: `Structure` or `ase.Atoms` of about the size that frames should have: give a supercell. Without three
            periodic axes there are no stresses.
        count: number of frames.
        seed: whole number; the same seed gives the same frames.
        strain: standard deviation of the components of the strain, 0 to 0.2.
        displacements: amplitudes d, A; one or several.

    Returns:
        `Dataset`; config_type names the amplitude, such as `rattled 0.08 A`; e0 are the energies of free atoms in the
        same potential or, where it reads charges or the like, those of least squares.

    Raises:
        DataError: a wrong argument, or a frame for which the potential has no finite energy.
    """
    check_potential(potential)
    crystal = on_host(crystal, "crystal: ")
    check_species(potential, crystal)
    count = as_whole(count, "count", 1, 10**6)
    chance = np.random.default_rng(as_whole(seed, "seed", 0, 2**63 - 1))
    strain = as_number(strain, "strain", f"a number from 0 to {_LARGEST_STRAIN:g}")
    if not 0.0 <= strain <= _LARGEST_STRAIN:
        raise DataError(f"strain: expected a number from 0 to {_LARGEST_STRAIN:g}, got {strain:g}")
    amplitudes = _amplitudes(displacements)
    if strain == 0.0 and 0.0 in amplitudes:
        raise DataError("displacements: 0 A with strain=0 leaves the crystal as it is, in many equal frames")
    chosen = [amplitudes[k % len(amplitudes)] for k in range(count)]
    structures = [_disturbed(crystal, strain, amplitude, chance) for amplitude in chosen]
    frames = []
    for k, (structure, evaluation) in enumerate(zip(structures, evaluate_many(potential, structures), strict=True)):
        frames.append(Frame(
            structure, energy=float(evaluation.energy), forces=np.asarray(evaluation.forces),
            stress=np.asarray(evaluation.stress) if all(structure.pbc) else None,
            config_type=f"rattled {chosen[k]:g} A", source=f"drawn frame {k} (seed {int(seed)})",
        ))
    if potential.needs:  # nobody has said what charge a free atom has
        return Dataset(tuple(frames), *atomic_energies(frames, [], LEAST_SQUARES))
    numbers = sorted({int(z) for z in crystal.numbers})
    return Dataset(tuple(frames), {z: _alone(potential, z) for z in numbers}, "free atoms of the same potential")


def _amplitudes(displacements):
    expected = "one or several lengths in A, such as (0.02, 0.08, 0.2)"
    try:
        amplitudes = np.atleast_1d(np.asarray(displacements, float))
    except (TypeError, ValueError) as error:
        raise DataError(f"displacements: expected {expected}, got {displacements!r}") from error
    if amplitudes.ndim != 1 or not amplitudes.size or not np.isfinite(amplitudes).all() or (amplitudes < 0.0).any():
        raise DataError(f"displacements: expected {expected}, none below zero, got {displacements!r}")
    return amplitudes.tolist()


def _disturbed(crystal, strain, amplitude, chance):
    lower = np.tril(strain * chance.normal(size=(3, 3)))
    deformation = np.eye(3) + lower + np.tril(lower, -1).T
    positions = crystal.positions @ deformation + amplitude * chance.normal(size=crystal.positions.shape)
    cell = crystal.cell @ deformation
    return crystal.replace(positions=positions, cell=cell)


def _alone(potential, number):
    alone = float(energy(potential, Structure(np.zeros((1, 3)), np.eye(3), [number], pbc=False)))
    if not np.isfinite(alone):
        raise DataError(f"the potential has no finite energy for a free atom of {symbol(number)}")
    return alone
