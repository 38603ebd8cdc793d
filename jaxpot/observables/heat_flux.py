"""The heat flux of potentials that are sums of site energies: how the energy of sites moves.

With E = sum_i U_i, where U_i depends on the vectors r_ij = r_j - r_i to atoms around i, and the energy of a site
E_i = U_i + m_i v_i^2 / 2, the flux is the rate of the first moment of the energy,

    J = d/dt sum_i r_i E_i = sum_i E_i v_i + sum_i r_i dE_i/dt.

Newton's equations give dE_i/dt = sum_j dU_i/dr_ij . v_j - sum_j dU_j/dr_ji . v_i: what the atoms around i do to its
energy, less what i does to theirs. Summed over i with r_i, the second sum is the first with r_j in place of r_i:

    J = sum_i E_i v_i - sum_i sum_j r_ij (dU_i/dr_ij . v_j).

No absolute position is left, so that this holds in periodic cells of any size too. The force that atoms i and j exert
on each other would not do instead of dU_i/dr_ij, unless the potential is one of pairs.

In a model of several hops the atoms j are those within its reach, and their images each for itself. No graph of them
is made: the inner sum is a derivative along velocities in which each atom has its distance from i as a lever, and
levers add up along hops. A state h_i carries its rate t_i = sum_j dh_i/dr_j . v_j and its first moment
m_i = sum_j r_ij (dh_i/dr_j . v_j) (three components), and what it reads of a neighbour k is t_k, and m_k + r_ik t_k.
The moment of U_i, summed over i, is what is sought: five passes forward in all, whatever the number of hops.

References:
    R. J. Hardy, Phys. Rev. 132, 168 (1963).
    Z. Fan et al., Phys. Rev. B 92, 094301 (2015).
    M. F. Langer, F. Knoop, C. Carbogno, M. Scheffler, M. Rupp, Phys. Rev. B 108, L100302 (2023): the same flux of
    message-passing models in reverse mode, by unfolding the cell.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import prepare_padded
from jaxpot.core.devices import sum_shares
from jaxpot.core.graph import connect_rows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import as_float, is_traced, product
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.observables.edges import EdgeSum, parts, seen_by, sum_over_edges
from jaxpot.observables.rows import chunks, nan_if_any, poison
from jaxpot.potentials.base import Potential, cast
from jaxpot.potentials.message_passing import inputs_of, layers, sum_of_chunks
from jaxpot.typing import Array, ArrayLike, StructureLike


def heat_flux(
    potential: Potential, structure: StructureLike, velocities: ArrayLike, neighbors: Neighbors | None = None
) -> tuple[Array, Array]:
    """Heat flux, not divided by the volume, in two parts that add up to J = d/dt sum_i r_i E_i.

    convective  sum_i (U_i + m_i v_i^2 / 2) v_i
    potential   -sum_i sum_j r_ij (dU_i/dr_ij . v_j),  r_ij = r_j - r_i

    Both depend on how the energy is divided among the sites; so does a constant energy of an element, in the
    convective part, unless the atoms of that element have no momentum together. Conductivities of crystals and of
    liquids of one element do not.

    Args:
        potential: local, or of several hops (`Potential.has_hops`), or sums of these.
        structure: `Structure` or `ase.Atoms`, with masses; any cell.
        velocities: (n, 3) A per internal unit of time, A sqrt(amu/eV), as ASE's and those of `md.State`.
        neighbors: as everywhere.

    Returns:
        convective (3,) and potential (3,), eV A per internal unit of time.

    Raises:
        DataError: another potential, velocities of another shape.

    References:
        R. J. Hardy, Phys. Rev. 132, 168 (1963); Z. Fan et al., Phys. Rev. B 92, 094301 (2015).
    """
    n, (potential, structure, neighbors) = prepare_padded(potential, structure, neighbors)
    for part in parts(potential):
        if not (part.potential.local or part.potential.has_hops):
            raise DataError(
                "a heat flux is defined for sums of site energies that are local or of several hops; "
                f"{part.potential!r} is neither"
            )
    velocities = as_float(velocities, "velocities")
    if velocities.shape != (n, 3):
        raise DataError(f"velocities: expected shape ({n}, 3), got {velocities.shape}")
    missing = len(structure) - n
    if missing:
        pad = jnp.pad if is_traced(velocities) else np.pad
        velocities = pad(velocities, ((0, missing), (0, 0)))
    return _heat_flux(potential, structure, velocities, neighbors)


@jax.jit
def _heat_flux(potential, structure, velocities, neighbors):
    velocities = jnp.where(structure.numbers[:, None] > 0, velocities.astype(structure.positions.dtype), 0.0)
    carried, passed_on = 0.0, 0.0
    for part in parts(potential):
        term, seen = part.potential, seen_by(part.potential, neighbors)
        if term.local:
            fluxes = sum_over_edges(_local_flux, [part], structure, seen, velocities)
        else:
            fluxes = part.factor * _flux_of_hops(term.by_hops(structure, seen), structure, velocities, seen)
        carried, passed_on = carried + fluxes[0], passed_on + fluxes[1]
    kinetic = 0.5 * structure.masses * jnp.sum(velocities**2, axis=1)
    bad = poison(potential, structure, neighbors) * nan_if_any(carried + passed_on)
    return (carried + product(kinetic, velocities)) * bad, passed_on * bad


def _local_flux(structure: Structure, pairwise: bool, velocities: Array) -> EdgeSum:
    """Both parts of the flux without kinetic energies, (2, 3)."""
    def add(fluxes, graph, site, gradient):
        power = sum(g * velocities[:, axis][graph.others] for axis, g in enumerate(gradient))
        moved = jnp.stack([jnp.sum(r * power) for r in (graph.x, graph.y, graph.z)])
        return fluxes + jnp.stack([product(site, velocities[graph.centers]), -moved]), None

    return EdgeSum(jnp.zeros((2, 3), velocities.dtype), add)


def _flux_of_hops(potential, structure, velocities, neighbors):
    """The same of a model of several hops."""
    potential = cast(potential, structure.positions.dtype)
    rows, states, motion = chunks(potential, neighbors), None, None
    for number in range(potential.hops + 2):
        def share(rows, potential, structure, velocities, neighbors, states, motion, number=number):
            def terms(rows):
                graph = connect_rows(structure, neighbors, rows)
                output, moved = _moved_layer(potential, number, graph, velocities, states, motion)
                if number <= potential.hops:
                    return graph.on_atoms((output, moved))
                site, moments = jnp.where(graph.real, output, 0.0), jnp.where(graph.real[:, None], moved[:, 1:], 0.0)
                return jnp.stack([product(site, velocities[graph.centers]), -moments.sum(0)])

            return sum_of_chunks(terms, rows)

        output = sum_shares(share, rows, potential, structure, velocities, neighbors, states, motion)
        if number <= potential.hops:
            states, motion = output
    return output


def _moved_layer(potential, number, graph, velocities, states, motion):
    """One layer of a chunk, forward.

    Args:
        number: of the layer.
        states: what enters it, of all atoms, (n, ...).
        motion: rates and first moments of these, (n, 4, ...).

    Returns:
        what leaves it, (rows, ...); rates and first moments of that, (rows, 4, ...).
    """
    environments, rows, others = inputs_of(potential, graph, states)
    layer, shown = layers(potential)[number], None if motion is None else potential.shown(motion)
    vectors = jnp.stack([graph.x, graph.y, graph.z])
    levers = jnp.concatenate([jnp.zeros_like(graph.x)[None], vectors])  # (4, rows, K)
    seen = jnp.moveaxis(velocities[graph.others], -1, 0)
    along = levers[:, None] * seen  # (4, 3, rows, K); the moment of an atom about itself is none
    along = along.at[0].set(seen - velocities[graph.centers].T[:, :, None])
    along = jnp.where(graph.filled, along, 0.0)
    stretch = (along * vectors).sum(1) / graph.distances

    def of_neighbors(motion):
        seen = jnp.moveaxis(motion[graph.others], 2, 0)
        return seen + levers.reshape(*levers.shape, *[1] * (seen.ndim - 3)) * seen[0]

    def of_inputs(x, y, z, r, rows, others):
        return layer(environments.replace(x=x, y=y, z=z, distances=r), rows, others)

    output, push = jax.linearize(
        of_inputs, environments.x, environments.y, environments.z, environments.distances, rows, others
    )
    rows_moved = jax.tree.map(lambda a: jnp.moveaxis(a[graph.centers], 1, 0), motion)
    moved = jax.vmap(push)(
        along[:, 0], along[:, 1], along[:, 2], stretch, rows_moved, jax.tree.map(of_neighbors, shown)
    )
    return output, jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), moved)
