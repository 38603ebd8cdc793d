"""What the cluster expansion needs of distances: radial functions by element, and the addends of a core."""

import math
from functools import partial

import jax
import jax.numpy as jnp

from jaxpot.basis.radial_bases import RadialBasis, inner_fade, radial_functions
from jaxpot.typing import Array


def radial_rows(bases: tuple[RadialBasis, ...], count: int, kind: Array, r: Array) -> Array:
    """Functions g of each element, one element after the other, (e k, K): zero for neighbours of another one.

    Args:
        bases: of the elements.
        count: how many g each has.
        kind: (K,) elements of the neighbours.
        r: (K,) A.
    """
    g = radial_functions(bases, count, kind, r)
    if len(bases) == 1:
        return g
    return jnp.concatenate([jnp.where(kind == e, g, 0.0) for e in range(len(bases))])


def core_addends(bases: tuple[RadialBasis, ...], core: tuple, kind: Array, r: Array) -> Array:
    """Addends of the neighbours to the core, (K,): see `ClusterExpansion`."""
    columns = (*zip(*core, strict=True), [basis.cutoff for basis in bases])
    strength, decay, cutoff = (jnp.asarray(values, r.dtype)[kind] for values in columns)
    s = jnp.minimum(r / cutoff, 1.0)
    values = jnp.abs(strength) * jnp.exp(-jnp.abs(decay) * r * r) / r * (0.5 + 0.5 * jnp.cos(math.pi * s))
    values = jnp.where(r < cutoff, values, 0.0)
    if any(basis.inner > 0.0 for basis in bases):
        inner, width = (
            jnp.asarray([getattr(b, name) or 1e-8 for b in bases], r.dtype)[kind]
            for name in ("inner", "inner_width")
        )
        values = values * inner_fade(r, inner, width)
    return values


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def of_distances(
    bases: tuple[RadialBasis, ...], count: int, core: tuple | None, kind: Array, r: Array
) -> tuple[Array, Array]:
    """Functions g and addends of the core, by a derivative that makes all slopes by r at once."""
    addends = jnp.zeros_like(r) if core is None else core_addends(bases, core, kind, r)
    return radial_rows(bases, count, kind, r), addends


@of_distances.defjvp
def _jvp(bases, count, core, values, changes):
    kind, r = values
    results, slopes = jax.jvp(partial(of_distances.fun, bases, count, core, kind), (r,), (jnp.ones_like(r),))
    return results, jax.tree.map(lambda slope: slope * changes[1], slopes)
