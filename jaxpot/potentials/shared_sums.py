"""Potentials whose atoms feel one another through sums over all atoms, such as structure factors of charges.

    S = sum_j s(neighbours of j, r_j, data of j)        E = sum_i e(neighbours of i, r_i, data of i; S)

Whoever has a part of the atoms computes the part of S that these make, hears what the others have, and has the energies
of its own: that is how ranks of LAMMPS share such a potential (`interop.lammps.shared`). Forces take one more sum, of

    dE/dS:        dE/dr_j = sum_i de_i/dr_j at fixed S + dE/dS . dS/dr_j
"""

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Graph, connect
from jaxpot.core.neighbors import Neighbors
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


def pulls_through_sums(
    term: SharedSums, structure: Structure, listed: Neighbors, plan: PyTree, counted: Array, slopes: PyTree
) -> tuple[Array, Array]:
    """Forces (n, 3) eV/A and dE/dstrain (3, 3) eV by the sums over the atoms that are `counted`.

    Args:
        slopes: dE/dS of the energy of all atoms, a tree like the sums.
    """
    def product(positions, strain):
        sums = term.sums(connect(structure.moved(positions).strained(strain), listed, plan), counted)
        return sum(jnp.sum(s * w) for s, w in zip(jax.tree.leaves(sums), jax.tree.leaves(slopes), strict=True))

    none = jnp.zeros((3, 3), structure.cell.dtype)
    gradient, strained = jax.grad(product, argnums=(0, 1))(structure.positions, none)
    return -gradient, strained
