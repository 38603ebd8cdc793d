"""Grueneisen parameters: how phonon frequencies change with strain."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxpot import io
from jaxpot.basis.hermitian import eigh, lift
from jaxpot.core.pytree import pytree, static
from jaxpot.core.structure import Structure
from jaxpot.properties.coordinates import crystal, deform, internal_response, require_stable
from jaxpot.properties.kinks import ANALYTIC, warn_of_kinks
from jaxpot.properties.modes import zero_modes
from jaxpot.properties.phonons import _wave_vectors, cell_index, fold
from jaxpot.properties.site_hessians import site_hessians, strain_blocks

STEP = 0.006  # largest strain of the differences where a potential has no third derivatives


@pytree
class Gruneisen:
    """Mode Grueneisen parameters gamma (..., 3n) at q (..., 3), in the order of frequencies (..., 3n).

    Within a degenerate subspace they are those that the strain lifts it into, the largest first. NaN marks
    the three acoustic modes at Gamma, whose limit depends on the direction of q.
    """

    q: jax.Array
    frequencies: jax.Array
    gamma: jax.Array


@pytree
class GruneisenBands:
    """`Gruneisen` along a path, with distances (nq,) 1/A, ticks and labels of special points."""

    q: jax.Array
    distances: jax.Array
    frequencies: jax.Array
    gamma: jax.Array
    ticks: tuple = static()
    labels: tuple = static()

    def plot(self):
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_gruneisen

        return plot_gruneisen(self)


def gruneisen(potential, structure, q, strain=None):
    """Mode Grueneisen parameters, with the internal displacements that go with the strain.

    gamma = -d ln(nu) / d ln(V) = -(1 / 2 w2) e^H (dD/dx) e

    with dD/dx the derivative of D(q), at fixed fractional q, along the strain x * `strain`, ions following.
    Exact (third derivatives by jvp) for potentials that are smooth enough; for the others (tabulated EAM, GAP) by
    central differences of fourth order, with a warning where their strains cross a kink of the potential.

    Args:
        potential, structure: a relaxed crystal.
        q: (..., 3) fractional wave vectors.
        strain: (3, 3) per unit of x; by default the uniform dilation 1/3, so that x = ln V.

    Returns:
        `Gruneisen`.

    References:
        K. Brugger, Generalized Grueneisen parameters in the anisotropic Debye model, Phys. Rev. 137, A1826 (1965).
    """
    strain = jnp.eye(3) / 3.0 if strain is None else jnp.asarray(strain, float)
    q = _wave_vectors(q)
    flat = q.reshape(-1, 3)
    matrices, change = strain_derivative(potential, structure, flat, strain)
    frequencies, gamma = _mode_parameters(matrices, change, jnp.asarray(zero_modes(flat)))
    shape = (*q.shape[:-1], -1)
    return Gruneisen(q, frequencies.reshape(shape), gamma.reshape(shape))


def gruneisen_bands(potential, structure, path=None, points=100):
    """Mode Grueneisen parameters along a path through the Brillouin zone (`GruneisenBands`)."""
    structure = Structure.of(structure)
    route = io.band_path(structure, points=points, path=path)
    found = gruneisen(potential, structure, route.q_points)
    return GruneisenBands(
        found.q, jnp.asarray(route.distances), found.frequencies, found.gamma,
        ticks=tuple(float(t) for t in route.ticks), labels=tuple(route.labels),
    )


def strain_derivative(potential, structure, q, strain):
    """D(q) and its derivative along a strain, ions following: two arrays (nq, 3n, 3n)."""
    smooth = potential.smoothness >= ANALYTIC
    structure, listed = crystal(potential, structure, skin=0.0 if smooth else 0.3, what="a Grueneisen parameter")
    cells, index = cell_index(listed)
    if not smooth:
        warn_of_kinks(
            potential, structure, STEP, f"Grueneisen parameters are taken from strains of up to +-{STEP}", stacklevel=3
        )
    sites = site_hessians(potential, structure, listed)
    matrices, change, internal = _along_strain(sites, potential, structure, listed, cells, index, q, strain, smooth)
    if len(structure) > 1:
        require_stable(internal, "the arrangement of the ions")
    return matrices, change


@partial(jax.jit, static_argnames="smooth")
def _along_strain(sites, potential, structure, listed, cells, index, q, strain, smooth):
    n = len(structure)
    _, coupling, internal, _ = strain_blocks(sites, n, strain[None], quadratic=False)
    response = internal_response(internal, coupling)[:, 0].reshape(n, 3)

    def at(x):
        moved = deform(structure, x * strain, x * response)
        return fold(site_hessians(potential, moved, listed), structure.masses, cells, index).dynamical_matrix(q)

    zero = jnp.zeros((), structure.cell.dtype)
    if smooth:
        matrices, change = jax.jvp(at, (zero,), (jnp.ones_like(zero),))
    else:
        step = 0.5 * STEP / jnp.max(jnp.abs(strain))
        matrices = fold(sites, structure.masses, cells, index).dynamical_matrix(q)
        around = jax.lax.map(at, step * jnp.array([-2.0, -1.0, 1.0, 2.0]))
        change = (8.0 * (around[2] - around[1]) - (around[3] - around[0])) / (12.0 * step)
    return matrices, change, internal


@jax.jit
def _mode_parameters(matrices, change, zeros):
    def one(matrix, change, zeros):
        w2, vectors = eigh(matrix)
        slope = lift(w2, vectors, change)
        undefined = jnp.arange(w2.shape[0]) < zeros
        gamma = -0.5 * slope / jnp.where(undefined, 1.0, w2)
        size = jnp.where(undefined, 1.0, jnp.abs(w2))
        frequency = jnp.where(undefined, 0.0, jnp.sign(w2) * jnp.sqrt(size) / (2.0 * jnp.pi))
        return frequency, jnp.where(undefined, jnp.nan, gamma)

    return jax.vmap(one)(matrices, change, zeros)


