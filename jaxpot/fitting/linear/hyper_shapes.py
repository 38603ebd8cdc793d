"""Potentials whose shape parameters are leaves: the width of the atoms, zeta, and the lengths of kernels.

In a potential that is used these numbers are part of the program. Here they are there to be differentiated by, once:
values are those of the potential, first derivatives exact.
"""

from dataclasses import fields, replace
from typing import cast

import jax
import jax.numpy as jnp

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.data.descriptor_vectors import vectors_of
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.soap import SOAP, width_slopes
from jaxpot.kernels.base import Kernel
from jaxpot.kernels.dot_product import DotProduct
from jaxpot.kernels.squared_exponential import SquaredExponential
from jaxpot.potentials.described import Described
from jaxpot.readouts.sparse_gp import SparseGP
from jaxpot.typing import Number


@pytree
class AnyPower(Kernel):
    """`DotProduct` with a zeta that is a leaf, for vectors whose products are not negative, as those of SOAP."""

    zeta: jax.Array

    def matrix(self, first: jax.Array, second: jax.Array) -> jax.Array:
        return _power(first @ second.T, self.zeta)

    def diagonal(self, vectors: jax.Array) -> jax.Array:
        return _power(jnp.sum(vectors * vectors, axis=-1), self.zeta)


def _power(product, zeta):
    # `where` within as without: the derivative of 0^zeta by zeta would not be finite.
    positive = product > 0.0
    return jnp.where(positive, jnp.where(positive, product, 1.0) ** zeta, 0.0)


@pytree
class WidenedSOAP(SOAP):
    """SOAP with atoms wider by `change`, (), A: right to first order."""

    change: Number = 0.0

    @classmethod
    def of(cls, soap: SOAP, change: Number) -> "WidenedSOAP":
        """`SOAP` with a change of its atoms' width."""
        return cls(**{field.name: getattr(soap, field.name) for field in fields(soap)}, change=change)

    def _space(self):
        space = super()._space()
        series, centre = width_slopes(self, space)
        return replace(
            space, series=space.series + self.change * series, centre=space.centre + self.change * centre
        )


def shapes(term: Described) -> dict[str, int]:
    """Names, as in a recipe, of the shape parameters of a `Described`, and how many numbers each is."""
    sizes = {}
    if isinstance(term.descriptor, SOAP):
        sizes["atom_sigma"] = 1
    if not term.readout.has_residual:
        return sizes
    kernel = cast(SparseGP, term.readout).kernel
    if isinstance(kernel, DotProduct):
        sizes["zeta"] = 1
    if isinstance(kernel, SquaredExponential):
        sizes["theta"] = kernel.theta.size
    return sizes


@jax.jit
def vectors_and_slopes(
    descriptor: Descriptor, structure: Structure, neighbors: Neighbors
) -> tuple[tuple[jax.Array, jax.Array], jax.Array | None]:
    """Vectors and weights of `vectors_of`, and derivatives of the vectors by atom_sigma, or None without one."""
    if not isinstance(descriptor, SOAP):
        return vectors_of(descriptor, structure, neighbors), None

    def at(change):
        return vectors_of(WidenedSOAP.of(descriptor, change), structure, neighbors)

    values, (slopes, _) = jax.jvp(at, (0.0,), (1.0,))
    return values, slopes


def reshaped(term: Described, logs: dict[str, jax.Array], widening: jax.Array) -> Described:
    """`Described` whose shape parameters are exp(log) times what they were.

    Args:
        term: the potential.
        logs: name -> logarithms, arrays of the sizes of `shapes`; right to first order about 0 for atom_sigma.
        widening: derivatives of the sparse points by atom_sigma, (M, d) 1/A.
    """
    descriptor, readout = term.descriptor, term.readout
    if "atom_sigma" in logs:
        soap = cast(SOAP, descriptor)
        change = soap.atom_sigma * jnp.expm1(logs["atom_sigma"][0])
        descriptor = WidenedSOAP.of(soap, change)
        if readout.has_residual:
            readout = readout.replace(points=cast(SparseGP, readout).points + change * widening)
    if "zeta" in logs:
        zeta = cast(DotProduct, cast(SparseGP, readout).kernel).zeta
        readout = readout.replace(kernel=AnyPower(zeta * jnp.exp(logs["zeta"][0])))
    if "theta" in logs:
        theta = cast(SquaredExponential, cast(SparseGP, readout).kernel).theta
        readout = readout.replace(kernel=SquaredExponential(theta * jnp.exp(logs["theta"]).reshape(theta.shape)))
    return term.replace(descriptor=descriptor, readout=readout)
