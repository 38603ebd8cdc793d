"""Structures and molecules of pymatgen, told by the names of their attributes: pymatgen is not imported.

Their sites hold a composition: an element, an ion of it, an isotope, or shares of several. Oxidation states, spins and
further properties of sites are no concern of a potential; shares, and species that are no elements, are refused.
"""

from typing import Any

import numpy as np

from jaxpot.core.elements import MASSES, NUCLIDES, SYMBOLS
from jaxpot.errors import DataError, first_few

_FULL = 1e-3  # of an occupancy: how far it may be from one


def has_sites(atoms: Any) -> bool:
    """Whether an object is a structure or a molecule as pymatgen has them."""
    return hasattr(atoms, "cart_coords") and (hasattr(atoms, "species") or _shares(atoms) is not None)


def from_sites(atoms: Any) -> dict:
    """The arguments of a `Structure` for an object as pymatgen has them.

    Args:
        atoms: anything with `cart_coords` (n, 3) A, with sites that have a `species` each, or `species` itself, of
            elements, ions or symbols; and in crystals a `lattice` with `matrix` (3, 3) A and `pbc`.

    Returns:
        dict of `positions`, `cell`, `numbers`, `masses` and `pbc`.

    Raises:
        DataError: sites that are shared or partly empty, and species that are no elements.
    """
    species = _species(atoms)
    symbols = [str(getattr(each, "symbol", each)) for each in species]
    # An isotope has a name of its own, or that of its element and another mass.
    names = [_isotope(each, symbol) for each, symbol in zip(species, symbols, strict=True)]
    unknown = [f"{k} ({name})" for k, name in enumerate(names) if name not in (*SYMBOLS[1:], *NUCLIDES)]
    if unknown:
        raise DataError(f"sites without an element: {first_few(unknown)}; remove vacancies and dummy sites")
    numbers = np.array([NUCLIDES[name][0] if name in NUCLIDES else SYMBOLS.index(name) for name in names], np.int32)
    masses = [NUCLIDES[name][1] if name in NUCLIDES else MASSES[z] for name, z in zip(names, numbers, strict=True)]
    lattice = getattr(atoms, "lattice", None)
    return {
        "positions": np.array(atoms.cart_coords, np.float64).reshape(-1, 3),
        "cell": np.zeros((3, 3)) if lattice is None else np.array(lattice.matrix, np.float64),
        "numbers": numbers,
        "masses": np.array(masses, np.float64),
        "pbc": False if lattice is None else tuple(bool(p) for p in getattr(lattice, "pbc", (True, True, True))),
    }


def _isotope(species, symbol):
    """D or T of what says that it is one, else the symbol."""
    name = str(getattr(species, "name", symbol))  # of Element.D; its symbol is H
    return name if name in NUCLIDES else symbol


def _species(atoms):
    """The one species of each site."""
    shares = _shares(atoms)
    if shares is None:
        return list(atoms.species)
    partial = [
        f"{k} ({', '.join(f'{species} {share:g}' for species, share in site)})"
        for k, site in enumerate(shares) if len(site) != 1 or abs(site[0][1] - 1.0) > _FULL
    ]
    if partial:
        raise DataError(
            f"sites are occupied in part: {first_few(partial)}; a potential needs one whole atom on each site: make an "
            "ordered supercell first (by pymatgen's OrderDisorderedStructureTransformation, or a special quasirandom "
            "structure)"
        )
    return [site[0][0] for site in shares]


def _shares(atoms):
    """For each site its (species, occupancy) pairs; None where sites have no compositions."""
    compositions = [getattr(site, "species", None) for site in getattr(atoms, "sites", ())]
    if not compositions or not all(hasattr(composition, "items") for composition in compositions):
        return None
    return [[(species, float(share)) for species, share in composition.items()] for composition in compositions]
