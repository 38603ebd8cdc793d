"""From what ACE files say to potentials, and back: elements, bonds, embeddings and functions with coefficients."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from jaxpot.basis.invariant_products import in_couplings, n_couplings
from jaxpot.basis.radial_bases import RadialBasis
from jaxpot.descriptors.cluster_expansion import ClusterExpansion
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.embedded_densities import EmbeddedDensities
from jaxpot.readouts.linear import Linear

_NOT_INVARIANT = 1e-6  # of the largest coefficient: files have 6 to 18 digits


@dataclass
class Bond:
    """Radial functions and core of a pair of elements, the first that of the atom: numbers of PACE's files."""

    basis: RadialBasis
    coefficients: np.ndarray  # (n, l, k)
    core: tuple[float, float] = (0.0, 1.0)


@dataclass
class Embedding:
    """Embedding function of an element."""

    form: str
    factors: tuple[float, ...]
    exponents: tuple[float, ...]
    core: tuple[float, float] = (100000.0, 250.0)  # where the expansion is switched off, and how soon, eV


@dataclass
class Function:
    """A sum of products of A with coefficients; n from 1."""

    elements: tuple[int, ...]
    radials: tuple[int, ...]
    degrees: tuple[int, ...]
    orders: np.ndarray  # (products, factors)
    coefficients: np.ndarray  # (products, densities)
    line: int | None = None


@dataclass
class Expansion:
    """All of a file."""

    species: tuple[int, ...]
    energies: tuple[float, ...]
    embeddings: dict[int, Embedding]
    bonds: dict[tuple[int, int], Bond]
    functions: dict[int, list[Function]] = field(default_factory=dict)


class NotInvariant(DataError):
    """A function whose coefficients depend on the axes."""

    def __init__(self, function: Function) -> None:
        self.function = function
        super().__init__(
            f"the coefficients of n = {function.radials}, l = {function.degrees} do not make an invariant: under "
            "rotations the energy would change"
        )


def potential_of(expansion: Expansion) -> Potential:
    """`Sum` of a `Described` for each element, and `Constants`.

    Raises:
        DataError: numbers without a meaning; NotInvariant.
    """
    terms: list[Potential] = []
    species = expansion.species
    for e, z in enumerate(species):
        functions = expansion.functions.get(e, [])
        bonds = [expansion.bonds[e, other] for other in range(len(species))]
        embedding = expansion.embeddings[e]
        components, weights = components_of(functions, len(embedding.factors))
        if not components:
            continue
        has_core = any(p for p, _ in (bond.core for bond in bonds))
        shape = tuple(max(bond.coefficients.shape[k] for bond in bonds) for k in range(3))
        coefficients = np.zeros((len(bonds), *shape))
        for k, bond in enumerate(bonds):
            a, b, c = bond.coefficients.shape
            coefficients[k, :a, :b, :c] = bond.coefficients
        descriptor = ClusterExpansion(
            species, components, tuple(bond.basis for bond in bonds), coefficients, (z,),
            core=tuple(bond.core for bond in bonds) if has_core else None,
        )
        plain = not has_core and len(embedding.factors) == 1 and embedding.exponents == (1.0,)
        readout = (
            Linear(weights[0] * embedding.factors[0]) if plain else
            EmbeddedDensities(
                weights, embedding.form, embedding.factors, embedding.exponents, embedding.core if has_core else None
            )
        )
        terms.append(Described(descriptor, readout, species))
    if not terms:
        raise DataError("expected at least one function")
    return Sum.of(*terms, Constants(dict(zip(species, expansion.energies, strict=True)), isolated=True))


def components_of(functions: list[Function], densities: int) -> tuple[tuple, np.ndarray]:
    """Components of a `ClusterExpansion` and their weights (P, components), of the functions of one element."""
    components: list = []
    columns: list[np.ndarray] = []
    by_factors: dict = defaultdict(list)
    for function in functions:
        factors = tuple(zip(function.degrees, function.elements, function.radials, strict=True))
        by_factors[tuple(sorted(factors))].append((factors, function))
    for channels, members in by_factors.items():
        listed = tuple((e, n, ell) for ell, e, n in channels)
        if len(channels) == 1:
            components.append((listed, 0))
            columns.append(sum(function.coefficients.sum(axis=0) for _, function in members))
            continue
        total = np.zeros((n_couplings(channels), densities))
        for factors, function in members:
            order = sorted(range(len(factors)), key=factors.__getitem__)
            weights, rest = in_couplings(channels, function.orders[:, order], function.coefficients)
            if rest > _NOT_INVARIANT * max(np.abs(function.coefficients).max(), 1e-300):
                raise NotInvariant(function)
            total += weights
        for number, row in enumerate(total):
            components.append((listed, number))
            columns.append(row)
    return tuple(components), np.array(columns).T.reshape(densities, len(components))

