"""Potentials whose atoms feel one another through sums over all atoms, such as structure factors of charges.

    S = sum_j s(neighbours of j, r_j, data of j)        E = sum_i e(neighbours of i, r_i, data of i; S)

Whoever has a part of the atoms computes the part of S that these make, hears what the others have, and has the energies
of its own: that is how ranks of LAMMPS (`interop.lammps.shared`) and devices (`observables.sums_on_devices`) share such
a potential. Forces take one more sum, of

    dE/dS:        dE/dr_j = sum_i de_i/dr_j at fixed S + dE/dS . dS/dr_j
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Graph
from jaxpot.core.structure import Structure
from jaxpot.potentials.base import Potential
from jaxpot.typing import Array, PyTree


class SharedSums(Potential):
    """Base of potentials with sums over all atoms. Subclasses are `@pytree`s with the two functions below.

    Attributes:
        reach: A, how far the atoms may be that an energy depends on, but for the sums: infinite unless a subclass, such
            as one of several hops, says otherwise; the cutoff is taken then.
    """

    local = False

    def sums(self, graph: Graph, counted: Array) -> PyTree:
        """Sums over the atoms that are `counted`, (n,) bool: a tree of floating arrays, whatever their shapes."""
        raise NotImplementedError  # a subclass's duty

    def site_energies_from(self, graph: Graph, sums: PyTree) -> Array:
        """Energies of the atoms of the rows, (m,) eV, given the sums over all atoms."""
        raise NotImplementedError  # a subclass's duty

    def site_energies(self, graph: Graph) -> Array:
        return self.site_energies_from(graph, self.sums(graph, graph.structure.numbers > 0))


def pulls_of_sites(
    term: SharedSums, graph_of: Callable[[Structure], Graph], structure: Structure, real: Array, sums: PyTree
) -> tuple[Array, Array, Array, Array, PyTree]:
    """Energy (), site energies (n,), forces (n, 3), dE/dstrain (3, 3) at fixed sums, and dE/dS, of some rows.

    Args:
        graph_of: makes their graph of a structure.
        real: (m,) bool, rows whose atoms have an energy here.
    """
    def total(positions, strain, sums):
        graph = graph_of(structure.moved(positions).strained(strain))
        sites = jnp.where(real, term.site_energies_from(graph, sums) * graph.sound, 0.0)
        return sites.sum(), graph.on_atoms(sites)

    none = jnp.zeros((3, 3), structure.cell.dtype)
    (value, sites), (gradient, strained, slopes) = jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)(
        structure.positions, none, sums
    )
    return value, sites, -gradient, strained, slopes


def pulls_through_sums(
    term: SharedSums, graph_of: Callable[[Structure], Graph], structure: Structure, counted: Array, slopes: PyTree
) -> tuple[Array, Array]:
    """Forces (n, 3) eV/A and dE/dstrain (3, 3) eV by the sums over the atoms that are `counted`.

    Args:
        graph_of: makes the graph of their rows of a structure.
        slopes: dE/dS of the energy of all atoms, a tree like the sums.
    """
    def product(positions, strain):
        sums = term.sums(graph_of(structure.moved(positions).strained(strain)), counted)
        return sum(jnp.sum(s * w) for s, w in zip(jax.tree.leaves(sums), jax.tree.leaves(slopes), strict=True))

    none = jnp.zeros((3, 3), structure.cell.dtype)
    gradient, strained = jax.grad(product, argnums=(0, 1))(structure.positions, none)
    return -gradient, strained
