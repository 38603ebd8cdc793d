"""Ions of a strained crystal: where they come to rest, by steps of forces, or as a function that has derivatives.

Strains are sums e of given strain tensors (m, 3, 3), displacements of ions sums w of given fields (k, n, 3): those that
keep the symmetry (`coordinates.symmetric_coordinates`). At rest dE/dw = 0, which makes w a function of e.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core import linalg
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.observables import energy
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import deform
from jaxpot.typing import Array


def _static(potential, structure, listed, strains, moves, e, w):
    now = deform(structure, jnp.tensordot(e, strains, 1), jnp.tensordot(w, moves, 1))
    return energy(potential, now, listed)


def displacements_at_rest(
    potential: Potential, structure: Structure, listed: Neighbors, strains: Array, moves: Array, e: Array
) -> Array:
    """Symmetric displacements w(e), (k,) A, at which the static forces vanish: two Newton steps from 0.

    Each step doubles the order to which the dependence on e and on the potential is exact: 1, then 3.

    Args:
        listed: neighbours, also those of the strained structure.
        strains: (m, 3, 3).
        moves: (k, n, 3).
        e: (m,).
    """
    w = jnp.zeros(moves.shape[0], structure.cell.dtype)
    if not moves.shape[0]:
        return w
    slope = jax.grad(lambda w: _static(potential, structure, listed, strains, moves, e, w))
    for _ in range(2):
        w = w - linalg.solve(jax.jacfwd(slope)(w), slope(w))
    return w


@jax.jit
def at_rest(
    potential: Potential, structure: Structure, listed: Neighbors, strains: Array, moves: Array, e: Array
) -> Structure:
    """Structure strained by e, with the ions at the minimum of the static energy (`displacements_at_rest`)."""
    w = displacements_at_rest(potential, structure, listed, strains, moves, e)
    return deform(structure, jnp.tensordot(e, strains, 1), jnp.tensordot(w, moves, 1))


@jax.jit
def near_rest(
    potential: Potential, structure: Structure, listed: Neighbors, strains: Array, moves: Array, e: Array
) -> Structure:
    """Structure strained by e, with the ions at the minimum of the static energy to second order in e."""
    w = _path(potential, structure, listed, strains, moves)(e)
    return deform(structure, jnp.tensordot(e, strains, 1), jnp.tensordot(w, moves, 1))


@jax.jit
def static_expansion(
    potential: Potential, structure: Structure, listed: Neighbors, strains: Array, moves: Array
) -> tuple[Array, Array]:
    """Slope (m,) and curvature (m, m) of the static energy by e at e = 0, ions at rest; eV."""
    path = _path(potential, structure, listed, strains, moves)

    def static_energy(e):
        return _static(potential, structure, listed, strains, moves, e, path(e))

    slope, curvature, _ = expanded(static_energy, jnp.zeros(strains.shape[0], structure.cell.dtype))
    return slope, curvature


def _path(potential, structure, listed, strains, moves):
    """Internal displacements w(e) at which static forces vanish, to second order in e: w1 e + e w2 e / 2.

    With g = dE/dw: w1 = -K^-1 dg/de, and w2 = -K^-1 d2/de de of g along the path w1 e.
    """
    m, k = strains.shape[0], moves.shape[0]
    origin, still = jnp.zeros(m, structure.cell.dtype), jnp.zeros(k, structure.cell.dtype)
    if not k:
        return lambda e: still
    pull = jax.grad(_static, argnums=6)

    def g(e, w):
        return pull(potential, structure, listed, strains, moves, e, w)

    stiffness = jax.jacfwd(g, argnums=1)(origin, still)
    first = -linalg.solve(stiffness, jax.jacfwd(g)(origin, still))
    bend = jax.jacfwd(jax.jacfwd(lambda e: g(e, first @ e)))(origin)
    second = -linalg.solve(stiffness, bend.reshape(k, m * m)).reshape(k, m, m)
    return lambda e: first @ e + 0.5 * (second @ e) @ e


def expanded(function: Callable[[Array], Any], origin: Array) -> tuple[Any, Any, Any]:
    """First and second derivatives, and the value, of a function at `origin`, in one nested pass."""
    def value_twice(e):
        value = function(e)
        return value, value

    def slope_and_value(e):
        slope, value = jax.jacfwd(value_twice, has_aux=True)(e)
        return slope, (slope, value)

    curvature, (slope, value) = jax.jacfwd(slope_and_value, has_aux=True)(origin)
    return slope, curvature, value
