"""Mixed precision: site energies in single, everything that adds up or is a difference of large numbers in double."""

import jax.numpy as jnp

from jaxpot.core.graph import Environment, Graph
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError, PrecisionError
from jaxpot.potentials.base import WHY_DOUBLE, OwnPrecision, Potential, Scaled, Sum, Wrapped, cast
from jaxpot.typing import Array, DTypeLike


def mixed_precision(potential: Potential) -> Potential:
    """A potential whose site energies, and their derivatives, are computed in single precision inside double.

    Positions, vectors between atoms, sums over atoms and steps of dynamics stay in double precision: what is lost is
    the rounding of formulas, about 1e-6 of the forces, and no digit of coordinates or of total energies. Structures are
    given in double precision as ever. Faster where arithmetic in single precision is: 64-fold on many GPUs.

    Args:
        potential: any `Potential`; sums and factors are taken apart, so that each term keeps its own neighbours.

    Returns:
        `Potential`.

    Raises:
        PrecisionError: a potential that single precision would ruin, such as a Gaussian process.
        DataError: not a potential.

    References:
        P. Eastman et al., PLoS Comput. Biol. 13, e1005659 (2017), section on precision.
    """
    if not isinstance(potential, Potential):
        raise DataError(f"expected a potential, got {type(potential).__name__}")
    if isinstance(potential, Sum):
        return Sum(tuple(map(mixed_precision, potential.terms)), potential.cutoff, potential.species)
    if isinstance(potential, Scaled):
        return Scaled(mixed_precision(potential.potential), potential.factor)
    if potential.double_only:
        raise PrecisionError(
            f"{potential!r} needs double precision: {WHY_DOUBLE}; leave it as it is, and add it to the mixed precision "
            "of what else there is"
        )
    return potential if isinstance(potential, MixedPrecision) else MixedPrecision(potential)


@pytree
class MixedPrecision(OwnPrecision, Wrapped):
    """A potential in single precision between inputs and results of the precision of the structure."""

    potential: Potential

    def cast(self, dtype: DTypeLike) -> "MixedPrecision":
        return MixedPrecision(cast(self.potential, jnp.float32))

    def site_energy(self, environment: Environment) -> Array:
        return self.potential.site_energy(_single(environment)).astype(environment.x.dtype)

    def site_energies(self, graph: Graph) -> Array:
        return self.potential.site_energies(_single(graph)).astype(graph.x.dtype)

    def __repr__(self) -> str:
        return f"mixed_precision({self.potential!r})"


def _single(there):
    """An environment or graph with its geometry rounded."""
    return there.replace(**{name: getattr(there, name).astype(jnp.float32) for name in ("x", "y", "z", "distances")})
