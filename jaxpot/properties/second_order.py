"""The energy of a crystal to second order in displacements and strains, whatever the potential.

Elastic constants, phonons, Grueneisen parameters, thermal expansion, relaxed derivatives and error bars read a
`SecondOrder`, and ask no more what kind of potential it comes from. Each part of a sum makes it in its own way, chosen
by how far the energy of a site reaches (`Potential.reach`):

    local               second derivatives of the site energies (`properties.site_hessians`), exact
    several hops        lattice waves through the hops (`properties.lattice_waves`), exact
    any other           Hessian-vector products in a supercell: exact at the wave vectors that are commensurate with it,
                        and everywhere where it is four times as thick as the reach: force constants reach twice as far

Of several hops, many wave vectors are interpolated between those of a mesh, with an error that is measured
(`properties.wave_mesh`), in the functions that ask for many; a `second_order` that a user makes is exact.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot import units
from jaxpot.checks import check_potential, checked_neighbors
from jaxpot.core.few_shapes import rounded_waves
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import concrete, is_traced, is_unknown
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotWarning, ResourceError
from jaxpot.observables.edges import parts, seen_by
from jaxpot.potentials.base import Potential
from jaxpot.properties import layer_derivatives
from jaxpot.properties.blocks import Blocks
from jaxpot.properties.coordinates import checked_list, crystal, frozen
from jaxpot.properties.force_constants import ForceConstants, cell_index, mass_weighted, nearest_images
from jaxpot.properties.kinks import ANALYTIC, warn_of_narrow
from jaxpot.properties.second_order_parts import Images, OfEnergy, Sites, Waves
from jaxpot.properties.site_hessians import site_hessians
from jaxpot.properties.wave_mesh import converged_mesh
from jaxpot.typing import AnyArray, ArrayLike, StructureLike

SKIN = 0.4  # A
_AT_REST = 0.01  # eV/A
_MOST_ATOMS = 3000  # of a supercell that nobody asked for
_COMMENSURATE = 1e-6


@pytree
class SecondOrder(Node):
    """A crystal and the second derivatives of its energy.

    All methods are pure and differentiable; for concrete values they are compiled once for each shape.
    """

    structure: Structure
    parts: tuple

    def blocks(self, basis: AnyArray, quadratic: bool = False) -> Blocks:
        """Derivatives by strains and by displacements that are alike in all cells (`Blocks`).

        Args:
            basis: (s, 3, 3) strain directions.
            quadratic: whether strains are Lagrangian (1 + e - e e / 2 is the stretch to second order).
        """
        blocks = [part.blocks(self.structure) for part in self.parts]
        total = sum(blocks[1:], blocks[0])
        if is_traced(total, basis):
            return total.along(jnp.asarray(basis, self.structure.cell.dtype), quadratic)
        # In NumPy: little work, for which each number of strains would have a program.
        return jax.tree.map(np.asarray, total).along(np.asarray(basis, self.structure.cell.dtype), quadratic)

    def dynamical_matrix(self, q: ArrayLike) -> jax.Array:
        """D(q), mass weighted, for fractional q (..., 3): (..., 3n, 3n) complex, 1/time^2 in internal units."""
        q = jnp.asarray(q, self.structure.cell.dtype)
        flat = q.reshape(-1, 3)
        matrices = [part.matrices(self.structure, flat) for part in self.parts]
        matrices = _weighted(sum(matrices[1:], matrices[0]), self.structure.masses)
        return matrices.reshape(*q.shape[:-1], *matrices.shape[1:])

    def force_constants(self) -> ForceConstants:
        """`ForceConstants` between cells; of several hops by a mesh of wave vectors that is as fine as they reach."""
        constants = [part.force_constants(self.structure) for part in self.parts]
        return sum(constants[1:], constants[0])

    def warn_unrelaxed(self, what: str, stacklevel: int = 2) -> None:
        """Warn where the atoms of a concrete crystal are not at rest: this is no property of a minimum then.

        Args:
            what: the property, with a verb: "phonons are".
        """
        if is_traced(self):
            return
        pulls: Any
        strained: Any
        pulls, strained = map(sum, zip(*[part.slopes(self.structure) for part in self.parts], strict=True))
        largest = np.sqrt((pulls**2).sum(1).max(initial=0.0))
        if not largest > _AT_REST:
            return
        stress = strained / abs(np.linalg.det(np.asarray(self.structure.cell)))
        warnings.warn(
            f"{what} asked for of a crystal that is not relaxed: the largest force is {largest:.3g} eV/A, the largest "
            f"stress {np.abs(stress).max() / units.GPa:.3g} GPa; relax it first (jp.relax)",
            JaxpotWarning, stacklevel=stacklevel + 1,
        )

    def warn_interpolated(self, q: AnyArray, stacklevel: int = 2) -> None:
        """Warn of wave vectors at which D(q) is interpolated between those of a supercell."""
        for part in self.parts:
            if not isinstance(part, Images) or is_traced(q, self.structure):
                continue
            if _thickness(self.structure, part.repeats) >= 4.0 * part.potential.reach:
                continue
            off = np.abs(q * part.repeats - np.round(q * part.repeats)).max(initial=0.0)
            if off > _COMMENSURATE:
                size = " x ".join(map(str, part.repeats))
                what = "infinitely far" if math.isinf(part.potential.reach) else f"{part.potential.reach:.3g} A far"
                warnings.warn(
                    f"{part.potential!r} reaches {what}: its dynamical matrices are exact at the wave vectors of a "
                    f"{size} supercell, and interpolated at others; at Gamma without the macroscopic field (transverse "
                    f"modes alone). Another one: jp.second_order(..., supercell=...)",
                    JaxpotWarning, stacklevel=stacklevel + 1,
                )


@pytree
class Route(Node):
    """Maker of second derivatives of a potential: lists and topology of one crystal, which serve its strains."""

    listed: Neighbors
    topology: tuple  # one for each part: `cell_index` of local ones; of several hops, and which are near; else None
    supercells: tuple  # one for each part: None, or the list of a supercell and its nearest images
    meshes: tuple  # one for each part: None, or of a model of several hops the mesh between whose wave vectors it is
    # computed, columns of it that are known, and the potential and the structure that they are of
    repeats: tuple = static()  # one for each part; None for local ones, unless asked for

    def at(self, potential: Potential, structure: Structure) -> SecondOrder:
        """`SecondOrder` of a structure that is a strained copy of the one that the route was made for; pure."""
        pieces: list[Sites | OfEnergy] = []
        for part, topology, supercell, known, repeats in zip(
            parts(potential), self.topology, self.supercells, self.meshes, self.repeats, strict=True
        ):
            term, listed = part.potential, self.listed.of_addend(part.place)
            if supercell is not None:
                neighbors, images = supercell
                pieces.append(Images(part.whole, listed, neighbors, images, repeats))
            elif term.local:
                pieces.append(Sites(site_hessians(term, structure, listed), *topology))
            elif term.has_hops:
                (cells, index, near), factor = topology, jnp.asarray(part.factor)
                hops = term.by_hops(structure, seen_by(term, listed))
                mesh, columns = (None, None) if known is None else (known[0], _columns_of(known, hops, structure))
                pieces.append(Waves(part.whole, listed, factor, hops, cells, index, near, mesh, columns, repeats))
            else:
                pieces.append(OfEnergy(part.whole, listed))
        return SecondOrder(structure, tuple(pieces))


def route(
    potential: Potential,
    structure: StructureLike,
    supercell: Sequence[int] | None = None,
    skin: float | None = None,
    what: str = "this property",
    waves: int = 0,
    symmetric: bool = True,
) -> tuple[Structure, Route]:
    """The structure as a crystal, and a `Route` for it; made on the host.

    Args:
        supercell: three integers: Hessian-vector products in that supercell for all parts of the potential.
        skin: A, how far lists reach beyond the cutoff; by default as far as differences by strains ask for.
        what: the property, for messages.
        waves: at how many wave vectors matrices will be asked for. Where these are many, models of several hops are
            interpolated between those of a mesh (`wave_mesh.converged_mesh`).
        symmetric: whether all structures that the route will serve have the symmetry of this one.

    Raises:
        DataError: not a crystal, or `supercell` is no three positive integers.
        ResourceError: the supercell of a potential with a long reach would be huge.
    """
    asked = None if supercell is None else _checked_repeats(supercell)
    skin = _skin(potential) if skin is None else skin
    structure, listed = crystal(potential, structure, skin=skin, what=what)
    warn_of_narrow(potential, structure, stacklevel=3)
    whole = parts(potential)
    repeats = [asked or _thick_enough(structure, part.potential) for part in whole]
    supercells = tuple(
        _supercell(part.whole, structure, size, skin) if asked or _needs_supercell(part.potential) else None
        for part, size in zip(whole, repeats, strict=True)
    )
    meshes = tuple(
        _mesh(part, structure, listed.of_addend(part.place), waves, symmetric)
        if part.potential.has_hops and not asked else None for part in whole
    )
    return structure, Route(listed, _topology(whole, listed), supercells, meshes, tuple(repeats))


def _mesh(part, structure, listed, waves, symmetric):
    """The mesh for a part of several hops, its columns, and what they are of; None where columns at each of the wave
    vectors cost no more.
    """
    if not waves or is_unknown(part.potential, structure):
        return None
    term = part.potential.by_hops(structure, seen_by(part.potential, listed))
    if layer_derivatives.pays(term, structure, listed, waves):
        return None
    mesh, columns = converged_mesh(*frozen((term, structure, listed)), waves, symmetric)
    return None if mesh is None else (mesh, columns, *frozen((term, structure)))


def _columns_of(known, term, structure):
    """Columns that are known, if they are of this potential and this structure."""
    _, columns, *of = known
    if is_traced(term, structure, columns) or jax.tree.structure(of) != jax.tree.structure([term, structure]):
        return None
    pairs = zip(jax.tree.leaves(of), jax.tree.leaves([term, structure]), strict=True)
    return columns if all(np.array_equal(a, b) for a, b in pairs) else None


def expander(potential: Potential, structure: Structure) -> Callable[[Potential], SecondOrder]:
    """A function potential -> `SecondOrder` of a structure, periodic or not, for blocks alone (no wave vectors)."""
    listed = checked_list(potential, structure, _skin(potential))
    whole = parts(potential)
    way = Route(listed, _topology(whole, listed), *[(None,) * len(whole)] * 3)
    return lambda potential: way.at(potential, structure)


def _skin(potential):
    # Potentials without third derivatives are differentiated by strains: lists of the crystal itself are as wide as
    # those of its strains, so that one compiled program serves both; of several hops that program takes the longest.
    check_potential(potential)
    hops = any(part.potential.has_hops for part in parts(potential))
    return SKIN if hops or potential.smoothness < ANALYTIC else 0.0


def _needs_supercell(term):
    return not (term.local or term.has_hops)


def _topology(whole, listed):
    return tuple(_cells_of(part.potential, listed.of_addend(part.place)) for part in whole)


def _cells_of(term, listed):
    if _needs_supercell(term):
        return None
    cells, index = cell_index(seen_by(term, listed))
    if term.has_hops:
        return cells, index, np.unique(index[:, -1]).astype(np.int32)
    spare = rounded_waves(len(cells)) - len(cells)  # cells that nothing is added to
    return np.concatenate([cells, np.zeros((spare, 3), cells.dtype)]), index


def second_order(potential: Potential, structure: StructureLike, supercell: Sequence[int] | None = None) -> SecondOrder:
    """The energy of a crystal to second order in displacements and strains.

    Args:
        potential, structure: a crystal; forces should vanish (see `relax`).
        supercell: three integers: take Hessian-vector products in that supercell for every part of the potential, a
            second route to the same numbers. By default supercells are used for parts that are neither local nor of
            several hops, twice as thick as these reach (of infinite reach: as their cutoff).

    Returns:
        `SecondOrder`, with `dynamical_matrix(q)`, `force_constants()` and `blocks(strains)`.
    """
    structure, way = route(potential, structure, supercell, what="a second derivative")
    return way.at(potential, structure)


def _checked_repeats(supercell):
    repeats = tuple(int(r) for r in np.ravel(supercell))
    if len(repeats) != 3 or min(repeats) < 1 or tuple(np.ravel(supercell)) != repeats:
        raise DataError(f"supercell: expected three positive integers, got {supercell}")
    return repeats


def _heights(structure):
    """Distances of opposite faces of the cell, (3,) A."""
    cell = concrete(structure.cell)  # also where it is differentiated
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def _thickness(structure, repeats):
    return float((_heights(structure) * np.asarray(repeats)).min())


def _thick_enough(structure, term):
    """The smallest repeats of a supercell twice as thick as a term reaches, or as its cutoff where that is infinite;
    None for a local term, which needs no supercell.
    """
    if term.local:
        return None
    reach = term.reach if math.isfinite(term.reach) else term.cutoff
    repeats = np.maximum(np.ceil(2.0 * reach / _heights(structure)).astype(int), 1)
    atoms = len(structure) * int(repeats.prod())
    if _needs_supercell(term) and atoms > _MOST_ATOMS:
        raise ResourceError(
            f"second derivatives of {term!r}, which reaches {reach:.3g} A, need a supercell of {atoms} atoms; "
            "jp.second_order(..., supercell=...) takes a smaller one, exact at the wave vectors commensurate with it"
        )
    return tuple(int(r) for r in repeats)


def _supercell(potential, structure, repeats, skin):
    big = structure.repeated(repeats)
    return jax.device_put((checked_neighbors(potential, big, skin=skin), nearest_images(structure, repeats)))


_weighted = jax.jit(mass_weighted)


