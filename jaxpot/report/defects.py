"""Which vacancies and surfaces a property card shows, and what is said of those that do not exist."""

from typing import Any

import numpy as np

from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import space_group
from jaxpot.errors import ConvergenceError
from jaxpot.potentials.base import Potential
from jaxpot.properties.surfaces import surface_energy
from jaxpot.properties.vacancies import vacancy_energy

_FACES = {  # number of the first space group -> faces of low indices
    195: ((1, 0, 0), (1, 1, 0), (1, 1, 1)),
    143: ((0, 0, 0, 1), (1, 0, -1, 0), (1, 1, -2, 0)),
    1: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


def defects_of(potential: Potential, crystal: Structure, notes: list[str]) -> dict[str, Any]:
    """{"vacancy": `ExcessEnergy`, "surfaces": {name of a face: `ExcessEnergy`}}, as far as they exist.

    Args:
        potential: any.
        crystal: a relaxed primitive cell.
        notes: a list; what does not exist is added to it, with the reason.
    """
    group, found = space_group(crystal, 1e-4), {}
    numbers = np.asarray(crystal.numbers)
    if (numbers == numbers[0]).all():
        sites = [_tried(notes, vacancy_energy, potential, crystal, int(k)) for k in np.unique(group.equivalent_atoms)]
        sites = [site for site in sites if site is not None]
        if sites:
            found["vacancy"] = min(sites, key=lambda site: float(site.energy))
    else:
        notes.append(
            "no vacancy energies: in a compound they depend on the chemical potential of the element that is taken "
            "away (jp.vacancy_energy(..., chemical_potential=...))"
        )
    faces = next(faces for first, faces in _FACES.items() if group.number >= first)
    surfaces = {_name(face): _tried(notes, surface_energy, potential, crystal, face) for face in faces}
    surfaces = {name: surface for name, surface in surfaces.items() if surface is not None}
    return found | ({"surfaces": surfaces} if surfaces else {})


def _tried(notes, function, *args):
    try:
        return function(*args)
    except ConvergenceError as error:
        notes.append(str(error))
        return None


def _name(face):
    return "".join(map(str, face))
