"""Loss of potentials that are evaluated for batches of padded frames, with one directional derivative for its gradient.

With the slopes e, f, s of a loss by the energies, forces and stresses of frames, its gradient by the parameters is

    dL/dtheta = d/dtheta sum_b [ e_b E_b + d/dt E_b(r_b - t f_b, strain t s_b / V_b) ]

one pass forward along a direction and one backward, where two passes backward, one through the other, cost twice as
much. Products of Hessians with displacements u are d^2/dtdu likewise.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.fitting.networks.descent import Loss
from jaxpot.fitting.networks.precomputed import Batch, HessianBatch
from jaxpot.observables import energy, evaluate_by_strain, hessian_vector_product
from jaxpot.potentials.base import Potential
from jaxpot.typing import Array


class EvaluatedLoss(Loss):
    """Loss of whole potentials, which are evaluated for padded frames."""

    apart = True  # four networks of 16 scalars and vectors, 216 atoms: 221 ms each, and 272 all at once

    def predict(self, networks: tuple, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Energies (B,) eV/atom, forces (A, 3), stresses (B, 3, 3) of a batch with structures and lists as inputs."""
        energies, forces, strained = _labels(*networks, *batch.inputs)
        return energies * batch.per_atom, forces.reshape(-1, 3), strained * batch.per_volume[:, None, None]

    def hessian_products(self, networks: tuple, batch: HessianBatch) -> jax.Array:
        """Products (A, 3) of a batch with structures and lists as inputs, displacements (B, n, 3) as tangents."""
        return _products(*networks, *batch.inputs, *batch.tangents).reshape(-1, 3)


@jax.custom_vjp
def _labels(potential: Potential, structures: Structure, lists: Neighbors) -> tuple[Array, Array, Array]:
    """Energies (B,) eV, forces (B, n, 3) and dE/dstrain (B, 3, 3) eV."""
    values = jax.vmap(evaluate_by_strain, in_axes=(None, 0, 0))(potential, structures, lists)
    return values.energy, values.forces, values.stress


def _labels_forward(potential, structures, lists):
    return _labels(potential, structures, lists), (potential, structures, lists)


def _labels_backward(inputs: tuple, slopes: tuple) -> tuple[Potential, None, None]:
    potential, structures, lists = inputs
    by_energies, by_forces, by_strained = slopes
    strains = 0.5 * (by_strained + jnp.swapaxes(by_strained, 1, 2))

    def along(potential):
        energies, changes = jax.vmap(partial(_changed, potential))(structures, lists, -by_forces, strains)
        return jnp.sum(by_energies * energies + changes)

    return jax.grad(along)(potential), None, None


def _changed(potential, structure, listed, displacements, strain):
    """Energy, and its derivative along displacements and a strain."""
    def moved(positions, strain):
        return energy(potential, structure.moved(positions).strained(strain), listed)

    return jax.jvp(moved, (structure.positions, jnp.zeros_like(strain)), (displacements, strain))


_labels.defvjp(_labels_forward, _labels_backward)


@jax.custom_vjp
def _products(potential: Potential, structures: Structure, lists: Neighbors, vectors: Array) -> Array:
    """Hessians times displacements, (B, n, 3) eV/A."""
    return jax.vmap(hessian_vector_product, in_axes=(None, 0, 0, 0))(potential, structures, vectors, lists)


def _products_forward(*inputs):
    return _products(*inputs), inputs


def _products_backward(inputs: tuple, slopes: Array) -> tuple[Potential, Any, Any, Any]:
    potential, structures, lists, vectors = inputs
    none = jnp.zeros((3, 3), vectors.dtype)

    def of_frame(potential, structure, listed, vector, slope):
        def along_vector(positions):
            return _changed(potential, structure.moved(positions), listed, vector, none)[1]

        return jax.jvp(along_vector, (structure.positions,), (slope,))[1]

    def along(potential):
        return jnp.sum(jax.vmap(partial(of_frame, potential))(structures, lists, vectors, slopes))

    return jax.grad(along)(potential), None, None, None


_products.defvjp(_products_forward, _products_backward)
