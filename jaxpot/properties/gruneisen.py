"""Grueneisen parameters: how phonon frequencies change with strain."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot import io
from jaxpot.basis.hermitian import eigh, lift
from jaxpot.checks import check_potential
from jaxpot.core.few_shapes import lengthened
from jaxpot.core.precision import concrete, is_traced, is_unknown
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import space_group
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import deform, frozen, internal_response, require_stable, symmetric_coordinates
from jaxpot.properties.kinks import ANALYTIC, step_between_kinks
from jaxpot.properties.modes import signed_frequency, zero_modes
from jaxpot.properties.phonons import wave_vectors
from jaxpot.properties.second_order import Route, route
from jaxpot.typing import AnyArray, Array, ArrayLike, StructureLike

STEP = 0.006  # largest strain of the differences where a potential has no third derivatives
_SMALLER = 2e-3  # the same where neighbours cross a kink within that
_FINE_STEP = 5e-4  # the same where it has them: errors of its fourth power, of a neighbour at its cutoff, of rounding


@pytree
class Gruneisen(Node):
    """Mode Grueneisen parameters gamma (..., 3n) at q (..., 3), in the order of frequencies (..., 3n).

    Within a degenerate subspace they are those that the strain lifts it into, the largest first. NaN marks
    the three acoustic modes at Gamma, whose limit depends on the direction of q.
    """

    q: jax.Array
    frequencies: jax.Array
    gamma: jax.Array


@pytree
class GruneisenBands(Node):
    """`Gruneisen` along a path, with distances (nq,) 1/A, ticks and labels of special points."""

    q: jax.Array
    distances: jax.Array
    frequencies: jax.Array
    gamma: jax.Array
    ticks: tuple = static()
    labels: tuple = static()

    def plot(self) -> Any:
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_gruneisen

        return plot_gruneisen(self)


def gruneisen(
    potential: Potential,
    structure: StructureLike,
    q: ArrayLike,
    strain: ArrayLike | None = None,
    differences: bool = False,
    way: Route | None = None,
) -> Gruneisen:
    """Mode Grueneisen parameters, with the internal displacements that go with the strain.

    gamma = -d ln(nu) / d ln(V) = -(1 / 2 w2) e^H (dD/dx) e

    with dD/dx the derivative of D(q), at fixed fractional q, along the strain x * `strain`, ions following.
    Exact (third derivatives by jvp) for potentials that are smooth enough; for the others (tabulated EAM, GAP) by
    central differences of fourth order, with a warning where their strains cross a kink of the potential.

    Args:
        potential, structure: a relaxed crystal.
        q: (..., 3) fractional wave vectors.
        strain: (3, 3) per unit of x; by default the uniform dilation 1/3, so that x = ln V.
        differences: take them for smooth potentials, too, with strains so small that results agree to 1e-5: programs
            that compile in a fraction of the time.
        way: a `Route` of this crystal, for strains that keep its symmetry; by default made here.

    Returns:
        `Gruneisen`.

    References:
        K. Brugger, Generalized Grueneisen parameters in the anisotropic Debye model, Phys. Rev. 137, A1826 (1965).
    """
    at = wave_vectors(q)
    flat = at.reshape(-1, 3)
    count, flat = len(flat), flat if is_traced(at) else lengthened(np.asarray(flat))
    matrices, change = strain_derivative(potential, structure, flat, strain, differences, way)
    frequencies, gamma = mode_parameters(matrices, change, jnp.asarray(zero_modes(flat)))
    if len(flat) > count:
        frequencies, gamma = np.asarray(frequencies)[:count], np.asarray(gamma)[:count]
    shape = (*at.shape[:-1], -1)
    return Gruneisen(at, frequencies.reshape(shape), gamma.reshape(shape))


def gruneisen_bands(
    potential: Potential, structure: StructureLike, path: str | Sequence | None = None, points: int = 100
) -> GruneisenBands:
    """Mode Grueneisen parameters along a path through the Brillouin zone (`GruneisenBands`)."""
    structure = Structure.of(structure)
    route = io.band_path(structure, points=points, path=path)
    found = gruneisen(potential, structure, route.q_points)
    return GruneisenBands(
        found.q, jnp.asarray(route.distances), found.frequencies, found.gamma,
        ticks=tuple(float(t) for t in route.ticks), labels=tuple(route.labels),
    )


def strain_derivative(
    potential: Potential,
    structure: StructureLike,
    q: AnyArray,
    strain: ArrayLike | None = None,
    differences: bool = False,
    way: Route | None = None,
) -> tuple[Array, Array]:
    """D(q) and its derivative along a strain, ions following: two arrays (nq, 3n, 3n)."""
    check_potential(potential)
    dilation = strain is None
    strain = jnp.eye(3) / 3.0 if dilation else jnp.asarray(strain, float)
    structure = Structure.of(structure)
    if way is None:
        structure, way = route(
            potential, structure, what="a Grueneisen parameter", waves=5 * len(q),
            symmetric=_keeps(structure, strain, potential.mirrors),
        )
    smooth = potential.smoothness >= ANALYTIC
    step = _FINE_STEP
    if not smooth:
        differences = True
        what = f"Grueneisen parameters are taken from strains of up to +-{STEP}"
        step = step_between_kinks(potential, structure, (STEP, _SMALLER, _FINE_STEP), 1.0, what, stacklevel=3)
    second = way.at(potential, structure)
    second.warn_interpolated(q, stacklevel=3)
    response, internal = _response(second, strain)
    if len(structure) > 1:
        require_stable(internal, "the arrangement of the ions")
    if dilation and not len(symmetric_coordinates(structure, potential.mirrors)[1]):
        response = jnp.zeros_like(structure.positions)  # no symmetric displacements: nothing follows
    if not differences:
        return _along_strain(potential, structure, way, q, strain, response)
    half = 0.5 * step / jnp.max(jnp.abs(strain))
    around = [
        # Not one program for all four: that of the crystal itself is there, and takes long to compile.
        way.at(potential, _strained(structure, strain, response, x * half)).dynamical_matrix(q)
        for x in (-2.0, -1.0, 1.0, 2.0)
    ]
    return second.dynamical_matrix(q), _fourth_order(around, half)


def _keeps(structure, strain, mirrors):
    """Whether a strain keeps the symmetry of a crystal."""
    if is_unknown(strain):
        return False
    strain = np.asarray(concrete(strain))
    with jax.ensure_compile_time_eval():  # the structure is known, also under jit over the potential
        invariant = space_group(frozen(structure), mirrors=mirrors).symmetrize_tensor(strain)
    return bool(np.abs(invariant - strain).max() < 1e-9 * np.abs(strain).max())


def _response(second, strain):
    """Displacements of the atoms by a strain, (n, 3) A per unit, and the force constants at equal cells."""
    blocks = second.blocks(strain[None])
    return _follow(blocks), blocks.internal


@jax.jit
def _follow(blocks):
    return internal_response(blocks.internal, blocks.coupling)[:, 0].reshape(-1, 3)


@jax.jit
def _strained(structure, strain, response, x):
    return deform(structure, x * strain, x * response)


@jax.jit
def _fourth_order(around, step):
    """The derivative in the middle of four values, two to each side."""
    return (8.0 * (around[2] - around[1]) - (around[3] - around[0])) / (12.0 * step)


@jax.jit
def _along_strain(potential, structure, way, q, strain, response):
    def at(x):
        return way.at(potential, _strained(structure, strain, response, x)).dynamical_matrix(q)

    zero = jnp.zeros((), structure.cell.dtype)
    return jax.jvp(at, (zero,), (jnp.ones_like(zero),))


@jax.jit
def mode_parameters(matrices: Array, change: Array, zeros: Array) -> tuple[Array, Array]:
    """Frequencies and Grueneisen parameters (nq, 3n) of D(q) and its derivative along a strain."""
    def one(matrix, change, zeros):
        w2, vectors = eigh(matrix)
        slope = lift(w2, vectors, change)
        undefined = jnp.arange(w2.shape[0]) < zeros
        gamma = -0.5 * slope / jnp.where(undefined, 1.0, w2)
        return signed_frequency(jnp.where(undefined, 0.0, w2)), jnp.where(undefined, jnp.nan, gamma)

    return jax.vmap(one)(matrices, change, zeros)


