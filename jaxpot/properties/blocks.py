"""Second derivatives of the total energy of a crystal, by Hessian-vector products: any potential, the given cell."""

import jax
import jax.numpy as jnp

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.observables import energy
from jaxpot.potentials.base import Potential
from jaxpot.typing import AnyArray


@pytree
class Blocks(Node):
    """First and second derivatives of the energy by strains e (s) and by displacements u (3n) alike in all cells.

    by_strain (s, s) eV, coupling (3n, s) eV/A, internal (3n, 3n) eV/A^2, slope dE/de (s,) eV, pull dE/du (3n,) eV/A.
    """

    by_strain: jax.Array
    coupling: jax.Array
    internal: jax.Array
    slope: jax.Array
    pull: jax.Array

    def __add__(self, other: "Blocks") -> "Blocks":
        return jax.tree.map(jnp.add, self, other)


def blocks_of_energy(
    potential: Potential, structure: Structure, listed: Neighbors, basis: AnyArray, quadratic: bool
) -> Blocks:
    """`Blocks` by differentiating the total energy twice.

    Args:
        basis: (s, 3, 3) strain directions.
        quadratic: whether e is the Lagrangian strain: 1 + e - e e / 2 is the stretch to second order.
    """
    n, count = len(structure), basis.shape[0]
    size = 3 * n

    def total(z):
        e = jnp.tensordot(z[size:], basis, 1)
        strain = e - 0.5 * e @ e if quadratic else e
        moved = structure.moved(structure.positions + z[:size].reshape(n, 3))
        return energy(potential, moved.strained(strain), listed)

    zero = jnp.zeros(size + count, basis.dtype)
    gradient, product = jax.linearize(jax.grad(total), zero)
    second = jax.lax.map(product, jnp.eye(size + count, dtype=zero.dtype), batch_size=48)
    return Blocks(
        second[size:, size:], second[:size, size:], second[:size, :size], gradient[size:], gradient[:size]
    )
