"""Second derivatives of the total energy of a crystal, by Hessian-vector products: any potential, the given cell."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.observables import energy
from jaxpot.potentials.base import Potential
from jaxpot.typing import AnyArray

ELEMENTS = np.eye(9).reshape(9, 3, 3)  # of a strain tensor, each a direction: others are their sums


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

    def along(self, basis: AnyArray, quadratic: bool) -> "Blocks":
        """The same along other strains, from those along the `ELEMENTS` of the strain tensor.

        Args:
            basis: (s, 3, 3) strain directions.
            quadratic: whether e is the Lagrangian strain: 1 + e - e e / 2 is the stretch to second order.
        """
        flat = basis.reshape(-1, 9)
        by_strain = flat @ self.by_strain @ flat.T
        if quadratic:
            products = basis[:, None] @ basis[None]
            products = (products + products.swapaxes(0, 1)).reshape(*by_strain.shape, 9)
            by_strain = by_strain - 0.5 * products @ self.slope
        return self.replace(by_strain=by_strain, coupling=self.coupling @ flat.T, slope=flat @ self.slope)


def blocks_of_energy(potential: Potential, structure: Structure, listed: Neighbors) -> Blocks:
    """`Blocks` along the `ELEMENTS` of a strain tensor, by differentiating the total energy twice."""
    n = len(structure)
    size = 3 * n

    def total(z):
        moved = structure.moved(structure.positions + z[:size].reshape(n, 3))
        return energy(potential, moved.strained(z[size:].reshape(3, 3)), listed)

    zero = jnp.zeros(size + 9, structure.cell.dtype)
    gradient, product = jax.linearize(jax.grad(total), zero)
    second = jax.lax.map(product, jnp.eye(size + 9, dtype=zero.dtype), batch_size=48)
    return Blocks(
        second[size:, size:], second[:size, size:], second[:size, :size], gradient[size:], gradient[:size]
    )
