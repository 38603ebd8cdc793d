"""Second derivatives by positions: products with the Hessian, and the Hessian itself."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import prepare
from jaxpot.core.neighbors import Neighbors
from jaxpot.errors import DataError, ResourceError
from jaxpot.observables.energies import total_energy
from jaxpot.observables.rows import nan_if_any
from jaxpot.potentials.base import Potential
from jaxpot.typing import AnyArray, Array, ArrayLike, StructureLike

HESSIAN_LIMIT = 4e9  # bytes


def hessian_vector_product(
    potential: Potential, structure: StructureLike, vector: AnyArray, neighbors: Neighbors | None = None
) -> Array:
    """The Hessian d2E/dr dr times a displacement field `vector` (n, 3) A; (n, 3) eV/A.

    Costs about two evaluations of the forces; nothing of the size of the Hessian is stored.
    """
    potential, structure, neighbors = prepare(potential, structure, neighbors)
    shape = (len(structure), 3)
    if jnp.shape(vector) != shape:
        raise DataError(f"vector: expected a displacement of each atom, shape {shape}, got {jnp.shape(vector)}")
    return _hvp(potential, structure, jnp.asarray(vector, structure.positions.dtype), neighbors)


def hessian(
    potential: Potential,
    structure: StructureLike,
    neighbors: Neighbors | None = None,
    batch: int = 32,
    atoms: ArrayLike | None = None,
) -> Array:
    """Second derivatives d2E/dr_ia dr_jb, (n, 3, n, 3) eV/A^2, by Hessian-vector products.

    Args:
        batch: how many columns are computed at once.
        atoms: (m,) indices: of these alone, (m, 3, m, 3).

    Raises:
        ResourceError: the matrix would need more than 4 GB; use `hessian_vector_product`.
    """
    return gradient_and_hessian(potential, structure, neighbors, batch, atoms)[1]


def gradient_and_hessian(
    potential: Potential,
    structure: StructureLike,
    neighbors: Neighbors | None = None,
    batch: int = 32,
    atoms: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Gradient dE/dr of all atoms, (n, 3) eV/A, and the `hessian` that it is computed on the way to."""
    potential, structure, neighbors = prepare(potential, structure, neighbors)
    atoms = np.arange(len(structure)) if atoms is None else np.asarray(atoms, int)
    m = len(atoms)
    size = (3 * m) ** 2 * structure.positions.dtype.itemsize
    if size > HESSIAN_LIMIT:
        raise ResourceError(
            f"the Hessian of {m} atoms needs {size / 1e9:.1f} GB, more than the limit of "
            f"{HESSIAN_LIMIT / 1e9:.0f} GB: use jp.hessian_vector_product"
        )
    return _hessian(potential, structure, neighbors, atoms, min(batch, max(3 * m, 1)))


def _value_and_gradient(potential, structure, neighbors):
    return jax.value_and_grad(lambda x: total_energy(potential, structure.moved(x), neighbors))


@jax.jit
def _hvp(potential, structure, vector, neighbors):
    function = _value_and_gradient(potential, structure, neighbors)
    (value, _), (_, product) = jax.jvp(function, (structure.positions,), (vector,))
    return product * nan_if_any(value)


@partial(jax.jit, static_argnums=4)
def _hessian(potential, structure, neighbors, atoms, batch):
    m = atoms.shape[0]
    (value, gradient), product = jax.linearize(
        _value_and_gradient(potential, structure, neighbors), structure.positions
    )

    def row(k):
        unit = jnp.zeros_like(structure.positions).at[atoms[k // 3], k % 3].set(1.0)
        return product(unit)[1][atoms]

    rows = jax.lax.map(row, jnp.arange(3 * m), batch_size=batch)
    return gradient * nan_if_any(value), rows.reshape(m, 3, m, 3) * nan_if_any(value)
