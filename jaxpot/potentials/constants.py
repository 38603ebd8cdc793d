"""A constant energy per element: reference energies of isolated atoms."""

import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.constant import Constant
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, addends, terms_of
from jaxpot.potentials.described import Described
from jaxpot.potentials.parameters import pick, species_numbers
from jaxpot.readouts.linear import Linear
from jaxpot.typing import Array, ArrayField


@pytree
class Constants(Potential):
    """E = sum_i e(Z_i): energies that shift the zero, and exert no force.

    Args:
        energies: {"Si": -1.0, ...} by symbol or atomic number, eV; or an array in the order of `species`.
        species: the elements, when `energies` is an array.
        isolated: whether these are energies of isolated atoms. False: least squares have found them, and energies of
            cohesion are not defined.
    """

    energies: ArrayField
    species: tuple | None = static(default=None)
    isolated: bool = static(default=True)

    cutoff = 0.0
    smoothness = 99
    pairwise = True

    def __post_init__(self):
        energies, species = self.energies, self.species
        if isinstance(energies, dict):
            species = tuple(atomic_number(s) for s in energies)
            energies = np.array([float(e) for e in energies.values()])
        if species is None:
            raise DataError("energies: expected a dict such as {'Si': -1.0}, or an array and its species")
        species = species_numbers(species)
        energies = as_float(energies, "energies")
        if energies.shape != (len(species),):
            raise DataError(f"energies: expected {len(species)} numbers, got shape {energies.shape}")
        object.__setattr__(self, "energies", energies)
        object.__setattr__(self, "species", species)

    def site_energy(self, environment: Environment) -> Array:
        """The constant of the atom's element, () eV."""
        return pick(self.energies, species_index(self.species, environment.number))

    def extent(self) -> float | Array:
        """Nothing reaches beyond the atom itself."""
        return jnp.zeros((), self.energies.dtype)


def knows_isolated_atoms(potential: Potential) -> bool:
    """Whether the energy of an isolated atom means something: no reference energies from least squares are in it."""
    return all(term.isolated for term in terms_of(potential) if isinstance(term, Constants))


def apart_from_constants(potential: Potential) -> tuple[dict[int, float], list[tuple[float, Potential]]]:
    """Energies of the elements that all constants of a sum add up to, and the other terms with their factors.

    Constants are `Constants` and what a fit has made of the descriptor `Constant`.

    Returns:
        Atomic number -> eV, and pairs (factor, term).
    """
    energies: dict[int, float] = {}
    others = []
    for factor, term in addends(potential):
        if isinstance(term, Described) and isinstance(term.descriptor, Constant) and isinstance(term.readout, Linear):
            energy = float(factor) * float(term.readout.delta) * float(term.readout.weights[0])
            for z in term.descriptor.centers or term.species or ():
                energies[z] = energies.get(z, 0.0) + energy
            continue
        if not isinstance(term, Constants):
            others.append((float(factor), term))
            continue
        for z, energy in zip(term.species or (), np.asarray(term.energies), strict=True):
            energies[z] = energies.get(z, 0.0) + float(factor) * float(energy)
    return energies, others
