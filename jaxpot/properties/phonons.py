"""Phonons: the dynamical matrix at any wave vector, from the primitive cell.

Second derivatives of the energy (`properties.second_order`) make force constants Phi_ab(R) between atom a of the home
cell and atom b of cell R, or at once their sums over cells:

    D_ab(q) = sum_R Phi_ab(R) exp(2 pi i q.R) / sqrt(m_a m_b)

with q in units of the reciprocal lattice vectors (fractional, held fixed under strain) and R the integers
of the lattice vector. Eigenvalues are the squared angular frequencies. No supercell, no displacement, unless a
potential reaches infinitely far.

References:
    A. A. Maradudin, E. W. Montroll, G. H. Weiss, Theory of Lattice Dynamics in the Harmonic Approximation
    (1963), equations 2.1.36-2.1.49.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot import io
from jaxpot.basis.hermitian import eigh
from jaxpot.checks import check_potential
from jaxpot.core.few_shapes import WAVES, few, lengthened, padded_mesh
from jaxpot.core.precision import host_float, is_traced
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import full_mesh, reduced_mesh
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.properties.force_constants import ForceConstants
from jaxpot.properties.modes import signed_frequency
from jaxpot.properties.second_order import Route, SecondOrder, route
from jaxpot.typing import AnyArray, Array, ArrayLike, Mesh, Number, StructureLike

_ANY = 1_000_000  # wave vectors: any number


@pytree
class Phonons(Node):
    """q (..., 3) fractional; frequencies (..., 3n) ascending, imaginary ones as negative numbers, internal
    units (divide by `units.THz`); eigenvectors (..., 3n, 3n), columns, mass-weighted and orthonormal, with
    phases of lattice vectors (exp(2 pi i q.R), not of positions)."""

    q: jax.Array
    frequencies: jax.Array
    eigenvectors: jax.Array


@pytree
class PhononBands(Node):
    """Frequencies (nq, 3n) along a path: q (nq, 3), distances (nq,) 1/A, ticks and labels of special points."""

    q: jax.Array
    distances: jax.Array
    frequencies: jax.Array
    ticks: tuple = static()
    labels: tuple = static()

    def plot(self) -> Any:
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_bands

        return plot_bands(self)


@pytree
class PhononDos(Node):
    """Density of states: density (m,) modes per unit frequency and cell (integrates to 3n) at frequencies (m,).

    width: () standard deviation of the Gaussians that it is made of.
    """

    frequencies: jax.Array
    density: jax.Array
    width: jax.Array

    def plot(self) -> Any:
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_dos

        return plot_dos(self)


def force_constants(
    potential: Potential, structure: StructureLike, supercell: Sequence[int] | None = None, way: Route | None = None
) -> ForceConstants:
    """Force constants of a crystal.

    Args:
        potential, structure: a crystal; forces should vanish (see `relax`).
        supercell: deprecated; use `second_order(potential, structure, supercell).force_constants()`.
        way: a `Route` of this crystal, whose mesh of wave vectors serves several properties; by default made here.

    Returns:
        `ForceConstants`.
    """
    return _at_rest(potential, structure, supercell, _ANY, way).force_constants()


def dynamical_matrix(
    potential: Potential, structure: StructureLike, q: ArrayLike, supercell: Sequence[int] | None = None
) -> jax.Array:
    """The mass-weighted dynamical matrix D(q), (..., 3n, 3n) complex, internal units.

    Args:
        q: (..., 3) fractional wave vectors.
        supercell: deprecated; use `second_order(potential, structure, supercell).dynamical_matrix(q)`.
    """
    at = wave_vectors(q)
    second = _at_rest(potential, structure, supercell, at.size // 3)
    second.warn_interpolated(at)
    return second.dynamical_matrix(at)


def _at_rest(potential, structure, supercell, waves, way=None):
    """`SecondOrder` of a crystal for so many wave vectors, with a warning where that is not relaxed."""
    if supercell is not None:
        warnings.warn(
            "supercell= is deprecated here: take jp.second_order(potential, structure, supercell)", DeprecationWarning,
            stacklevel=3,
        )
    structure = Structure.of(structure)
    if way is None:
        structure, way = route(potential, structure, supercell, what="a phonon", waves=waves)
    second = way.at(potential, structure)
    second.warn_unrelaxed("phonons are", stacklevel=3)
    return second


def phonons(
    potential: Potential, structure: StructureLike, q: ArrayLike, supercell: Sequence[int] | None = None,
    way: Route | None = None,
) -> Phonons:
    """Frequencies and eigenvectors at wave vectors q (..., 3), fractional (`Phonons`).

    Frequencies are ordinary ones (not angular): `result.frequencies / jp.units.THz`. They are differentiable
    with respect to the potential where they are not degenerate, or degenerate by symmetry whatever the potential.
    Of models of several hops many wave vectors are interpolated between those of a mesh (`properties.wave_mesh`).

    Args:
        supercell: deprecated, see `dynamical_matrix`.
        way: a `Route` of this crystal, whose mesh of wave vectors serves several properties; by default made here.
    """
    at = wave_vectors(q)
    second = _at_rest(potential, structure, supercell, at.size // 3, way)
    second.warn_interpolated(at)
    return phonons_of(second, at)


def phonons_of(second: SecondOrder, q: Array) -> Phonons:
    """`phonons` of a `SecondOrder`."""
    flat = q.reshape(-1, 3)
    if is_traced(second, q) or not few():
        return Phonons(q, *frequencies_of(second.dynamical_matrix(q)))
    # One program for all numbers of wave vectors; NumPy puts the parts together, which compiles nothing.
    parts = lengthened(np.asarray(flat)).reshape(-1, WAVES, 3)
    each = zip(*(frequencies_of(second.dynamical_matrix(part)) for part in parts), strict=True)
    arrays = (np.concatenate([np.asarray(a) for a in one])[: len(flat)] for one in each)
    whole: Any = (a.reshape(*q.shape[:-1], *a.shape[1:]) for a in arrays)
    return Phonons(q, *whole)


@jax.jit
def frequencies_of(matrix: Array) -> tuple[Array, Array]:
    """Signed frequencies nu = sign(w2) sqrt(|w2|) / 2 pi, ascending, and eigenvectors."""
    size = matrix.shape[-1]
    w2, vectors = jax.vmap(eigh)(matrix.reshape(-1, size, size))
    return signed_frequency(w2.reshape(matrix.shape[:-1])), vectors.reshape(matrix.shape)


def phonon_bands(
    potential: Potential,
    structure: StructureLike,
    path: str | Sequence | None = None,
    points: int = 100,
    supercell: Sequence[int] | None = None,
) -> PhononBands:
    """Frequencies along a path through the Brillouin zone (`PhononBands`).

    Args:
        path: labels such as "GXWKGL" or "GX,UL", a list of fractional points, or None for the standard
            path of the lattice (W. Setyawan, S. Curtarolo, Comput. Mater. Sci. 49, 299 (2010)).
        points: how many in all.
    """
    structure = Structure.of(structure)
    route = io.band_path(structure, points=points, path=path)
    found = phonons(potential, structure, route.q_points, supercell)
    return PhononBands(
        found.q, jnp.asarray(route.distances), found.frequencies,
        ticks=tuple(float(t) for t in route.ticks), labels=tuple(route.labels),
    )


def phonon_dos(
    potential: Potential,
    structure: StructureLike,
    mesh: Mesh = (20, 20, 20),
    frequencies: AnyArray | None = None,
    width: Number | None = None,
    supercell: Sequence[int] | None = None,
    way: Route | None = None,
) -> PhononDos:
    """Phonon density of states on a symmetry-reduced mesh, with Gaussian broadening (`PhononDos`).

    Args:
        mesh: points along the three reciprocal vectors.
        frequencies: where to evaluate it, internal units; by default 401 points over all modes. With these and a
            width the density is differentiable.
        width: standard deviation of the Gaussians, internal units; by default 1 % of the largest frequency.
        supercell: deprecated, see `dynamical_matrix`.
        way: a `Route` of this crystal, whose mesh of wave vectors serves several properties; by default made here.
    """
    check_potential(potential)
    structure = Structure.of(structure)
    q, weights = padded_mesh(*reduced_mesh(structure, mesh, mirrors=potential.mirrors))
    found = phonons(potential, structure, q, supercell, way).frequencies
    xp: Any = np if isinstance(found, np.ndarray) else jnp  # traced, under jit over the potential
    low, top = xp.min(found), xp.max(found)
    width = 0.01 * top if width is None else width
    if frequencies is None:
        frequencies = jnp.linspace(jnp.minimum(0.0, low - 3 * width), top + 4 * width, 401)
    density = _histogram(found, jnp.asarray(weights), frequencies, width)
    return PhononDos(jnp.asarray(frequencies), density, jnp.asarray(width))


@jax.jit
def _histogram(found, weights, frequencies, width):
    def one(x):
        shape = jnp.exp(-0.5 * ((x - found) / width) ** 2) / (width * jnp.sqrt(2.0 * jnp.pi))
        return jnp.sum(weights[:, None] * shape)

    return jax.lax.map(one, frequencies, batch_size=64)


def mesh_points(
    structure: Structure, mesh: Mesh, mirrors: bool = True, symmetry: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Wave vectors and weights of a mesh (a number or three), reduced by symmetry unless told not to."""
    given: Any = mesh
    points = (given,) * 3 if np.ndim(given) == 0 else tuple(int(m) for m in given)
    if len(points) != 3 or min(points) < 1:
        raise DataError(f"mesh: expected three positive integers, got {points}")
    return padded_mesh(*(reduced_mesh(structure, points, mirrors=mirrors) if symmetry else full_mesh(points)))


def wave_vectors(q: ArrayLike) -> Any:
    """Fractional wave vectors, checked."""
    q = jnp.asarray(q, float) if is_traced(q) else host_float(q, "q")
    if q.shape[-1:] != (3,):
        raise DataError(f"q: expected fractional wave vectors of shape (..., 3), got {q.shape}")
    return q
