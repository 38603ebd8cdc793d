"""Energy, forces and stress at once, by one pass backwards."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential, prepare, prepare_padded
from jaxpot.core.devices import each_system, sharing, sum_shares
from jaxpot.core.fusion import materialised
from jaxpot.core.graph import connect_rows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import GeometryError
from jaxpot.observables.batches import can_be_stacked, in_batches
from jaxpot.observables.buckets import in_buckets
from jaxpot.observables.edges import added, forces_and_strains, parts, sum_over_edges
from jaxpot.observables.energies import part_energies
from jaxpot.observables.rows import chunks, in_space, nan_if_any, poison, stripped
from jaxpot.observables.sums_on_devices import of_shared_sums
from jaxpot.potentials.base import Potential, cast
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.shared_sums import SharedSums
from jaxpot.potentials.terms import member_gradients
from jaxpot.typing import AnyArray, Array, StructureLike


@pytree
class Evaluation(Node):
    """Energy, forces and stress of a structure: result of `evaluate`.

    energy () eV; energies (n,) eV per site; forces (n, 3) eV/A; stress (3, 3) eV/A^3 = +1/V dE/dstrain,
    NaN unless it was asked for and the structure is periodic along all three axes (a stress needs a volume).
    """

    energy: jax.Array
    energies: jax.Array
    forces: jax.Array
    stress: jax.Array


def forces(potential: Potential, structure: StructureLike, neighbors: Neighbors | None = None) -> AnyArray:
    """Forces -dE/dr, (n, 3) eV/A."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    # With the stress: XLA computes the gradients of Tersoff's potential twice where only forces are made of them.
    return stripped(_evaluate(*prepared, True).forces, n)


def stress(potential: Potential, structure: StructureLike, neighbors: Neighbors | None = None) -> Array:
    """Stress +1/V dE/dstrain, (3, 3) eV/A^3: positive where the crystal wants to contract.

    Raises:
        GeometryError: the structure is not periodic along all three axes, so that it has no volume.
    """
    check_potential(potential)
    structure = Structure.of(structure)
    if not all(structure.pbc):
        raise GeometryError(
            f"a stress needs a volume, but the structure is periodic along {sum(structure.pbc)} axes only "
            f"(pbc={structure.pbc}); for a slab use jp.virials and divide by the volume you mean"
        )
    return _evaluate(*prepare(potential, structure, neighbors), True).stress


def evaluate(
    potential: Potential | Committee,
    structure: StructureLike,
    neighbors: Neighbors | None = None,
    with_stress: bool | Array = True,
) -> Evaluation:
    """Energy, site energies, forces and stress at once (`Evaluation`).

    Of a `Committee`: those of all members, with an axis in front of each array. Without the stress, which is NaN then,
    pair potentials and Stillinger-Weber are a fifth to a third faster, but Tersoff slower; `with_stress` may be traced.
    """
    if isinstance(potential, Committee):
        return _of_members(potential, structure, neighbors, with_stress)
    n, prepared = prepare_padded(potential, structure, neighbors)
    return _strip_evaluation(_evaluate(*prepared, with_stress), n)


def evaluate_by_strain(
    potential: Potential, structure: StructureLike, neighbors: Neighbors | None = None
) -> Evaluation:
    """`evaluate`, but with dE/dstrain, (3, 3) eV, in the place of the stress: of what has no volume, too."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    return _strip_evaluation(_evaluate(*prepared, True, 1.0), n)


def _of_members(committee, structure, neighbors, with_stress):
    n, (_, structure, neighbors) = prepare_padded(committee.widest, structure, neighbors)
    members = _evaluate_members(committee, structure, neighbors, with_stress)
    if members.forces.shape[1] == n:
        return members
    return members.replace(energies=np.asarray(members.energies)[:, :n], forces=np.asarray(members.forces)[:, :n])


def evaluate_many(potential: Potential, structures: Sequence[StructureLike]) -> list[Evaluation]:
    """Evaluate a list of structures, in buckets of similar size so that few programs are compiled.

    Small ones, of potentials that are local, are evaluated many at a time. Where devices divide them (a mesh with the
    axis "systems", `jaxpot.core.devices`), those of any size and potential are, but for potentials that prepare arrays
    of other shapes for each structure (`Potential.plan`). Unlike `evaluate`, without a look at the
    distances: scans go through what is no matter.

    Returns:
        A list of `Evaluation` with NumPy arrays, in the order given.
    """
    return _many(potential, structures, None)


def evaluate_many_by_strain(potential: Potential, structures: Sequence[StructureLike]) -> list[Evaluation]:
    """`evaluate_many`, but with dE/dstrain, (3, 3) eV, in the place of the stress: of what has no volume, too."""
    return _many(potential, structures, 1.0)


def _many(potential, structures, volume):
    check_potential(potential)
    structures = [Structure.of(structure, potential.needs) for structure in structures]
    if can_be_stacked(potential, structures):
        results = in_batches(partial(_evaluate_stacked, volume=volume), potential, structures)
        return [_strip_evaluation(one, len(s)) for one, s in zip(results, structures, strict=True)]

    def evaluated(structure, listed, n):
        return _strip_evaluation(jax.tree.map(np.asarray, _evaluate(potential, structure, listed, True, volume)), n)

    return in_buckets(evaluated, potential, structures)


def _strip_evaluation(result, n):
    if result.forces.shape[0] == n:
        return result
    return Evaluation(
        energy=result.energy,
        energies=np.asarray(result.energies)[:n],
        forces=np.asarray(result.forces)[:n],
        stress=result.stress,
    )


# The pure functions.


@jax.jit
def _evaluate(potential, structure, neighbors, with_stress, volume=None):
    along_edges, others = [], []
    for part in parts(potential):
        (along_edges if part.potential.local or part.potential.edges_only else others).append(part)
    sums = [_of_structure(part, structure, neighbors) for part in others]
    if along_edges:
        sums.append(sum_over_edges(forces_and_strains, along_edges, structure, neighbors, jnp.asarray(with_stress)))
    return _assembled(potential, structure, neighbors, added(sums), volume)


def _of_structure(part, structure, neighbors):
    """Energy, site energies, forces and dE/dstrain of a part, by plain differentiation by positions and strain."""
    if sharing() > 1 and isinstance(part.potential, SharedSums):
        return of_shared_sums(part, structure, neighbors)

    def total(positions, strain):
        sites, centers = part_energies(part, structure.moved(positions).strained(strain), neighbors)
        return sites.sum(), jnp.zeros(len(structure), sites.dtype).at[centers].add(sites)

    none = jnp.zeros((3, 3), structure.cell.dtype)
    (value, sites), (gradient, strained) = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(
        structure.positions, none
    )
    return value, sites, -gradient, strained


@jax.jit
def _evaluate_stacked(potential, structures, lists, volume):
    def evaluate_all(systems, potential, volume):
        return jax.vmap(lambda structure, listed: _evaluate(potential, structure, listed, True, volume))(*systems)

    return each_system(evaluate_all, (structures, lists), potential, volume)


@jax.jit
def _evaluate_members(committee, structure, neighbors, with_stress):
    """`_evaluate` of all members, with what they share computed once."""
    if not committee.potential.local:
        return committee.map(lambda potential: _evaluate(potential, structure, neighbors, with_stress))
    rows = chunks(committee.potential, neighbors)

    def share(rows, with_stress, committee, structure, neighbors):
        accumulator = forces_and_strains(structure, committee.potential.pairwise, with_stress)
        zero = jnp.broadcast_to(accumulator.zero, (len(committee), *accumulator.zero.shape))

        def chunk(sums, rows):
            graph = connect_rows(structure, neighbors, rows)
            # Each member would gather these anew.
            graph = graph.replace(x=materialised(graph.x), y=materialised(graph.y), z=materialised(graph.z))
            gradients = member_gradients(cast(committee, graph.x.dtype), graph.environments(), neighbors)
            site, gradient = jax.vmap(partial(in_space, graph))(*gradients)
            return jax.vmap(accumulator.add, in_axes=(0, None, 0, 0))(sums, graph, site, gradient)

        sums, left = jax.lax.scan(chunk, zero, rows)
        return jax.vmap(accumulator.total, in_axes=(0, 1))(sums, left)

    def assembled(potential, sums):
        return _assembled(potential, structure, neighbors, sums)

    sums = sum_shares(share, rows, jnp.asarray(with_stress), committee, structure, neighbors)
    return jax.vmap(assembled, in_axes=(committee.axes, 0))(committee.potential, sums)


def _assembled(potential, structure, neighbors, sums, volume=None):
    energy, energies, force, strain_derivative = sums
    # NaN for atoms at one point: their distance is.
    bad = poison(potential, structure, neighbors) * nan_if_any(force)
    return Evaluation(
        energy=energy * bad,
        energies=energies * bad,
        forces=force * bad,
        stress=_per_volume(strain_derivative, structure, volume) * bad,
    )


def _per_volume(strain_derivative, structure, volume):
    """The stress: by the volume of the structure, NaN if it has none, or by the one given."""
    symmetric = 0.5 * (strain_derivative + strain_derivative.T)
    if volume is not None:
        return symmetric / volume
    return symmetric / structure.volume if all(structure.pbc) else jnp.full_like(symmetric, jnp.nan)
