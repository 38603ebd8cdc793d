"""The cohesive energy on a card."""

import numpy as np

from jaxpot.core.structure import Structure
from jaxpot.observables import energy
from jaxpot.potentials.base import Potential
from jaxpot.potentials.constants import knows_isolated_atoms
from jaxpot.report.crystal import isolated_atom
from jaxpot.report.entries.record import Entry, Property
from jaxpot.report.entries.shape import SECTION
from jaxpot.report.rows import entry_row
from jaxpot.typing import Scalar


def cohesive_energy(potential: Potential, crystal: Structure) -> Scalar:
    """Energy per atom that it takes to separate a crystal into isolated atoms, eV."""
    numbers = np.asarray(crystal.numbers).tolist()
    alone = {z: energy(potential, isolated_atom(z)) for z in set(numbers)}
    return (sum(alone[z] for z in numbers) - energy(potential, crystal)) / len(numbers)


def _compute(study):
    if not knows_isolated_atoms(study.potential):
        study.notes.append("no cohesive energy: the reference energies are from least squares, not of isolated atoms")
        return {}
    if study.potential.needs:
        read = ", ".join(study.potential.needs)
        study.notes.append(f"no cohesive energy: the potential reads {read}, which nobody has given for free atoms")
        return {}
    return {"cohesive_energy": float(cohesive_energy(study.potential, study.crystal))}


def _spreads(uncertain, results):
    if "cohesive_energy" not in results:
        return {}
    spread = uncertain.spread("cohesive energy", cohesive_energy)
    return {"cohesive_energy": None if spread is None else float(spread.std)}


PROPERTY = Property(
    about="cohesive energy",
    compute=_compute,
    entries=(
        Entry(
            "e_coh_eV", "eV/atom",
            "energy of isolated atoms of the same potential minus energy of the crystal, per atom; null where its "
            "reference energies are from least squares, of no atom, or where the potential reads data of atoms",
            value=lambda results, study: results.get("cohesive_energy"),
            deviation=lambda spreads, study: spreads.get("cohesive_energy"),
        ),
    ),
    rows=lambda document: [entry_row(SECTION, "Cohesive energy", document["e_coh_eV"], 4, "eV/atom")],
    spreads=_spreads,
)
