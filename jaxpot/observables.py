"""The energy of a structure, and its derivatives.

`energy` is the root: forces are -dE/dr, the stress is (1/V) dE/dstrain, and so on. Every function takes
`(potential, structure, neighbors=None)`. With `neighbors` given they are pure functions of three
pytrees: `jax.jit`, `jax.vmap` and `jax.grad` apply to all three. Without, the list is built on the host,
and the arrays are padded to a ladder of sizes so that similar structures share one compiled program.

Concrete values are checked (species, NaN, atoms on top of one another, an outgrown list) and refused with
a typed error. Under jit nothing can be raised: there the same violations turn every result into NaN.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential, checked_neighbors, prepare, prepare_padded, round_atoms
from jaxpot.core.devices import sharing, sum_shares
from jaxpot.core.fusion import kept
from jaxpot.core.graph import connect, connect_rows, knows
from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, GeometryError, ResourceError
from jaxpot.potentials.base import cast, chunk_shape, cut, map_rows
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.terms import chunk_energies, chunk_gradients, member_gradients

HESSIAN_LIMIT = 4e9  # bytes


@pytree
class Evaluation:
    """What `evaluate` returns.

    energy () eV; energies (n,) eV per site; forces (n, 3) eV/A; stress (3, 3) eV/A^3 = +1/V dE/dstrain,
    NaN unless it was asked for and the structure is periodic along all three axes (a stress needs a volume).
    """

    energy: jax.Array
    energies: jax.Array
    forces: jax.Array
    stress: jax.Array


def energy(potential, structure, neighbors=None):
    """Total energy, () eV: the sum of the site energies. The root of everything else."""
    check_potential(potential)
    structure = Structure.of(structure)
    structure = structure if len(structure) or neighbors is not None else structure.padded(1)
    return _energy(*prepare(potential, structure, neighbors))


def site_energies(potential, structure, neighbors=None):
    """Energy of each atom, (n,) eV; they add up to `energy`."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    return _strip(_site_energies(*prepared), n)


def forces(potential, structure, neighbors=None):
    """Forces -dE/dr, (n, 3) eV/A."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    # With the stress: XLA computes the gradients of Tersoff's potential twice where only forces are made of them.
    return _strip(_evaluate(*prepared, True).forces, n)


def stress(potential, structure, neighbors=None):
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


def evaluate(potential, structure, neighbors=None, with_stress=True):
    """Energy, site energies, forces and stress at once (`Evaluation`).

    Of a `Committee`: those of all members, with an axis in front of each array. Without the stress, which is NaN then,
    pair potentials and Stillinger-Weber are a fifth to a third faster, but Tersoff slower; `with_stress` may be traced.
    """
    if isinstance(potential, Committee):
        return _of_members(potential, structure, neighbors, with_stress)
    n, prepared = prepare_padded(potential, structure, neighbors)
    return _strip_evaluation(_evaluate(*prepared, with_stress), n)


def evaluate_by_strain(potential, structure, neighbors=None):
    """`evaluate`, but with dE/dstrain, (3, 3) eV, in the place of the stress: of what has no volume, too."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    return _strip_evaluation(_evaluate(*prepared, True, 1.0), n)


def _of_members(committee, structure, neighbors, with_stress):
    n, (_, structure, neighbors) = prepare_padded(committee.widest, structure, neighbors)
    found = _evaluate_members(committee, structure, neighbors, with_stress)
    if found.forces.shape[1] == n:
        return found
    return found.replace(energies=np.asarray(found.energies)[:, :n], forces=np.asarray(found.forces)[:, :n])


def virials(potential, structure, neighbors=None):
    """Virial of each atom, (n, 3, 3) eV: W_i = -sum_k r_ik (x) dE_i/dr_ik; their sum is -V * stress."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    return _strip(_virials(*prepared), n)


def hessian_vector_product(potential, structure, vector, neighbors=None):
    """The Hessian d2E/dr dr times a displacement field `vector` (n, 3) A; (n, 3) eV/A.

    Costs about two evaluations of the forces; nothing of the size of the Hessian is stored.
    """
    potential, structure, neighbors = prepare(potential, structure, neighbors)
    shape = (len(structure), 3)
    if jnp.shape(vector) != shape:
        raise DataError(f"vector: expected a displacement of each atom, shape {shape}, got {jnp.shape(vector)}")
    return _hvp(potential, structure, jnp.asarray(vector, structure.positions.dtype), neighbors)


def hessian(potential, structure, neighbors=None, batch=32, atoms=None):
    """Second derivatives d2E/dr_ia dr_jb, (n, 3, n, 3) eV/A^2, by Hessian-vector products.

    Args:
        batch: how many columns are computed at once.
        atoms: (m,) indices: of these alone, (m, 3, m, 3).

    Raises:
        ResourceError: the matrix would need more than 4 GB; use `hessian_vector_product`.
    """
    return gradient_and_hessian(potential, structure, neighbors, batch, atoms)[1]


def gradient_and_hessian(potential, structure, neighbors=None, batch=32, atoms=None):
    """Gradient dE/dr of all atoms, (n, 3) eV/A, and the `hessian` that it is computed on the way to."""
    potential, structure, neighbors = prepare(potential, structure, neighbors)
    atoms = np.arange(len(structure)) if atoms is None else np.asarray(atoms, int)
    m = len(atoms)
    size = (3 * m) ** 2 * structure.positions.dtype.itemsize
    if size > HESSIAN_LIMIT:
        raise ResourceError(
            f"the Hessian of {m} atoms needs {size / 1e9:.1f} GB, more than the limit of "
            f"{HESSIAN_LIMIT / 1e9:.0f} GB: use jp.hessian_vector_product"
        )
    return _hessian(potential, structure, neighbors, atoms, min(batch, max(3 * m, 1)))


def evaluate_many(potential, structures):
    """Evaluate a list of structures, in buckets of similar size so that few programs are compiled.

    Unlike `evaluate`, without a look at the distances: scans go through what is no matter.

    Returns:
        A list of `Evaluation` with NumPy arrays, in the order given.
    """
    def evaluated(structure, listed, n):
        return _strip_evaluation(jax.tree.map(np.asarray, _evaluate(potential, structure, listed, True)), n)

    return _in_buckets(evaluated, potential, structures)


def energy_many(potential, structures):
    """Energies of a list of structures, eV, a NumPy array; in buckets as `evaluate_many`, without derivatives."""
    return np.array(_in_buckets(lambda s, listed, n: float(_energy(potential, s, listed)), potential, structures))


def _in_buckets(function, potential, structures):
    """function(padded structure, list, number of atoms) of each structure, few shapes in all."""
    check_potential(potential)
    structures = [Structure.of(s) for s in structures]
    order = sorted(range(len(structures)), key=lambda i: len(structures[i]))
    buckets = {}
    for i in order:
        buckets.setdefault(round_atoms(len(structures[i])), []).append(i)
    results = [None] * len(structures)
    for size, members in buckets.items():
        padded = [structures[i].padded(size) for i in members]
        lists = [checked_neighbors(potential, s, rows=size) for s in padded]
        capacity = max(listed.capacity for listed in lists)
        for i, structure, listed in zip(members, padded, lists, strict=True):
            if listed.capacity < capacity:
                listed = checked_neighbors(potential, structure, rows=size, capacity=capacity)
            results[i] = function(structure, listed, len(structures[i]))
    return results


def _strip(array, n):
    # Slicing an array on the device would compile a small program for every n.
    return array if array.shape[0] == n else jnp.asarray(np.asarray(array)[:n])


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


def poison(potential, structure, neighbors):
    """() 1.0, or NaN where the list has been outgrown or an element is unknown."""
    good = neighbors.covers(structure, potential.extent()) & knows(potential.species, structure.numbers)
    return jnp.where(good, 1.0, jnp.nan).astype(structure.positions.dtype)


def spread(array):
    """() 1.0, or NaN where one element is: then nothing else may look like a result either."""
    return jnp.where(jnp.isnan(jnp.sum(array)), jnp.nan, 1.0).astype(array.dtype)


@partial(jax.jit, static_argnames="max_blocks")
def _row_energies(potential, structure, neighbors, max_blocks=None):
    potential = cast(potential, structure.positions.dtype)
    if potential.local:
        def block(graph, per_chunk):
            def chunk(environments):
                return chunk_energies(potential, environments, neighbors)

            found = per_chunk(jax.checkpoint(chunk), graph.environments())
            return jnp.where(graph.real, found * graph.sound, 0.0), graph.centers

        found, centers = map_rows(block, potential, structure, neighbors, max_blocks)
    else:
        graph = connect(structure, neighbors)
        found, centers = jnp.where(graph.real, potential.site_energies(graph) * graph.sound, 0.0), graph.centers
    return found * poison(potential, structure, neighbors), centers


@jax.jit
def _energy(potential, structure, neighbors):
    # Few blocks: each adds a whole array of position derivatives when this is differentiated.
    return jnp.sum(_row_energies(potential, structure, neighbors, max_blocks=32)[0])


@jax.jit
def _site_energies(potential, structure, neighbors):
    found, centers = _row_energies(potential, structure, neighbors)
    return jnp.zeros(len(structure), found.dtype).at[centers].add(found)


@jax.jit
def _evaluate(potential, structure, neighbors, with_stress, volume=None):
    if not potential.local:
        return _evaluate_general(potential, structure, neighbors, volume)
    rows, n, dtype = chunks(potential, neighbors), len(structure), structure.positions.dtype

    def share(rows, wanted, potential, structure, neighbors):
        def chunk(found, rows):
            graph, site, gradient = row_gradients(potential, structure, neighbors, rows)
            return _added(potential.pairwise, wanted, graph, found, site, gradient)

        force, found = jax.lax.scan(chunk, jnp.zeros((n, 3), dtype), rows)
        return _summed(force, *found)

    sums = sum_shares(share, rows, jnp.asarray(with_stress), potential, structure, neighbors)
    return _assembled(potential, structure, neighbors, sums, volume)


@jax.jit
def _evaluate_members(committee, structure, neighbors, with_stress):
    """`_evaluate` of all members, with what they share computed once."""
    if not committee.potential.local:
        return committee.map(lambda potential: _evaluate_general(potential, structure, neighbors))
    rows, n, dtype = chunks(committee.potential, neighbors), len(structure), structure.positions.dtype

    def share(rows, wanted, committee, structure, neighbors):
        def chunk(found, rows):
            graph = connect_rows(structure, neighbors, rows)
            # Each member would gather these anew.
            graph = graph.replace(x=kept(graph.x), y=kept(graph.y), z=kept(graph.z))
            gradients = member_gradients(cast(committee, dtype), graph.environments(), neighbors)
            site, gradient = jax.vmap(partial(_in_space, graph))(*gradients)
            add = partial(_added, committee.potential.pairwise, wanted, graph)
            return jax.vmap(add)(found, site, gradient)

        force, found = jax.lax.scan(chunk, jnp.zeros((len(committee), n, 3), dtype), rows)
        return jax.vmap(_summed, in_axes=(0, 1, 1, 1))(force, *found)

    def assembled(potential, sums):
        return _assembled(potential, structure, neighbors, sums)

    sums = sum_shares(share, rows, jnp.asarray(with_stress), committee, structure, neighbors)
    return jax.vmap(assembled, in_axes=(committee.axes, 0))(committee.potential, sums)


def _added(pairwise, with_stress, graph, found, site, gradient):
    """Forces with those of a chunk; and of the chunk site energies, their atoms, the sum of vectors (x) gradients."""
    gradient = jnp.stack(gradient)

    def strained(gradient):
        return jnp.einsum("amk,bmk->mab", jnp.stack([graph.x, graph.y, graph.z]), gradient, precision="highest").sum(0)

    def nothing(gradient):
        return jnp.full((3, 3), jnp.nan, gradient.dtype)

    virial = jax.lax.cond(with_stress, strained, nothing, gradient)
    # What a pair leaves at its other end is in that atom's own row, too; adding it here is slow.
    force = found if pairwise else found.at[graph.others].add(-jnp.moveaxis(gradient, 0, -1))
    own = (2.0 if pairwise else 1.0) * gradient.sum(2).T
    force = force.at[graph.centers].add(jnp.where(graph.real[:, None], own, 0.0))
    return force, (site, graph.centers, virial)


def _summed(force, site, centers, virial):
    """Energy, site energies, forces and the derivative by strain, of what all chunks leave."""
    site = site.reshape(-1)
    energies = jnp.zeros(len(force), force.dtype).at[centers.reshape(-1)].add(site)
    return site.sum(), energies, force, virial.sum(0)


def _assembled(potential, structure, neighbors, sums, volume=None):
    energy, energies, force, strain_derivative = sums
    # NaN for atoms at one point: their distance is.
    bad = poison(potential, structure, neighbors) * spread(force)
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


def chunks(potential, neighbors):
    """The rows of a list in chunks, as many for each of the devices that share them."""
    rows, devices = neighbors.others.shape[0], sharing()
    count, _ = chunk_shape(rows, neighbors.capacity, potential.chunk_elements)
    count = -(-count // devices) * devices
    return cut(neighbors, count, max(1, -(-rows // count)))


def row_gradients(potential, structure, neighbors, rows):
    """Graph of a chunk, site energies (rows,), and dE_i/dr_ik by component, each (rows, K)."""
    potential = cast(potential, structure.positions.dtype)
    graph = connect_rows(structure, neighbors, rows)
    return graph, *_in_space(graph, *chunk_gradients(potential, graph.environments(), neighbors))


def _in_space(graph, site, gradient):
    """Site energies, and their derivatives by the components of the vectors to the neighbours, of real rows only."""
    gx, gy, gz, gr = gradient
    keep = graph.filled & graph.real[:, None]
    along = gr / graph.distances
    gradient = tuple(
        jnp.where(keep, g + along * r, 0.0)
        for g, r in ((gx, graph.x), (gy, graph.y), (gz, graph.z))
    )
    return jnp.where(graph.real, site, 0.0), gradient


def _evaluate_general(potential, structure, neighbors, volume=None):
    """The same by plain differentiation of the energy, for potentials that are not local."""

    def total(positions, strain):
        found, centers = _row_energies(potential, structure.moved(positions).strained(strain), neighbors)
        return found.sum(), jnp.zeros(len(structure), found.dtype).at[centers].add(found)

    none = jnp.zeros((3, 3), structure.cell.dtype)
    (value, sites), (gradient, strained) = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(
        structure.positions, none
    )
    bad = spread(value)
    return Evaluation(value, sites * bad, -gradient * bad, _per_volume(strained, structure, volume) * bad)


@jax.jit
def _virials(potential, structure, neighbors):
    if not potential.local:
        raise DataError(f"virials of single atoms are defined for local potentials; {potential!r} is not")
    bad = poison(potential, structure, neighbors)

    def share(rows, potential, structure, neighbors):
        def chunk(found, rows):
            graph, _, gradient = row_gradients(potential, structure, neighbors, rows)
            virial = jnp.einsum("amk,bmk->mab", jnp.stack([graph.x, graph.y, graph.z]), jnp.stack(gradient))
            return found.at[graph.centers].add(-virial), None

        return jax.lax.scan(chunk, jnp.zeros((len(structure), 3, 3), structure.positions.dtype), rows)[0]

    found = sum_shares(share, chunks(potential, neighbors), potential, structure, neighbors)
    return found * bad * spread(found)


def _value_and_gradient(potential, structure, neighbors):
    return jax.value_and_grad(lambda x: _energy(potential, structure.moved(x), neighbors))


@jax.jit
def _hvp(potential, structure, vector, neighbors):
    function = _value_and_gradient(potential, structure, neighbors)
    (value, _), (_, product) = jax.jvp(function, (structure.positions,), (vector,))
    return product * spread(value)


@partial(jax.jit, static_argnums=4)
def _hessian(potential, structure, neighbors, atoms, batch):
    m = atoms.shape[0]
    (value, gradient), product = jax.linearize(
        _value_and_gradient(potential, structure, neighbors), structure.positions
    )

    def row(k):
        unit = jnp.zeros_like(structure.positions).at[atoms[k // 3], k % 3].set(1.0)
        return product(unit)[1][atoms]

    rows = jax.lax.map(row, jnp.arange(3 * m), batch_size=batch)
    return gradient * spread(value), rows.reshape(m, 3, m, 3) * spread(value)
