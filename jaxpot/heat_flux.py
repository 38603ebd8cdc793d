"""The heat flux of any local potential: how the energy of sites moves.

With E = sum_i U_i, where U_i depends on the vectors r_ik = r_k - r_i to the neighbours of i, and the energy of a site
E_i = U_i + m_i v_i^2 / 2, the flux is the rate of the first moment of the energy,

    J = d/dt sum_i r_i E_i = sum_i E_i v_i + sum_i r_i dE_i/dt.

Newton's equations give dE_i/dt = sum_k dU_i/dr_ik . v_k - sum_j dU_j/dr_ji . v_i: what the neighbours of i do to its
energy, less what i does to theirs. Summed over i with r_i, the second sum is the first with r_k in place of r_i:

    J = sum_i E_i v_i - sum_i sum_k r_ik (dU_i/dr_ik . v_k).

No absolute position is left, so that this holds in periodic cells of any size too. The force that atoms i and k exert
on each other would not do instead of dU_i/dr_ik, unless the potential is one of pairs.

References:
    R. J. Hardy, Phys. Rev. 132, 168 (1963).
    Z. Fan et al., Phys. Rev. B 92, 094301 (2015).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import prepare_padded
from jaxpot.core.devices import sum_shares
from jaxpot.core.precision import as_float, is_traced, product
from jaxpot.errors import DataError
from jaxpot.observables import chunks, poison, row_gradients, spread


def heat_flux(potential, structure, velocities, neighbors=None):
    """Heat flux, not divided by the volume, in two parts that add up to J = d/dt sum_i r_i E_i.

    convective  sum_i (U_i + m_i v_i^2 / 2) v_i
    potential   -sum_i sum_k r_ik (dU_i/dr_ik . v_k),  r_ik = r_k - r_i

    Both depend on how the energy is divided among the sites; so does a constant energy of an element, in the
    convective part, unless the atoms of that element have no momentum together. Conductivities of crystals and of
    liquids of one element do not.

    Args:
        potential: local; as everywhere.
        structure: `Structure` or `ase.Atoms`, with masses; any cell.
        velocities: (n, 3) A per internal unit of time, A sqrt(amu/eV), as ASE's and those of `md.State`.
        neighbors: as everywhere.

    Returns:
        convective (3,) and potential (3,), eV A per internal unit of time.

    Raises:
        DataError: a potential that is not local, velocities of another shape.

    References:
        R. J. Hardy, Phys. Rev. 132, 168 (1963); Z. Fan et al., Phys. Rev. B 92, 094301 (2015).
    """
    n, (potential, structure, neighbors) = prepare_padded(potential, structure, neighbors)
    if not potential.local:
        raise DataError(f"a heat flux is defined for local potentials, sums of site energies; {potential!r} is not")
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

    def share(rows, potential, structure, velocities, neighbors):
        def chunk(found, rows):
            graph, site, gradient = row_gradients(potential, structure, neighbors, rows)
            power = sum(g * velocities[:, axis][graph.others] for axis, g in enumerate(gradient))
            moved = jnp.stack([jnp.sum(r * power) for r in (graph.x, graph.y, graph.z)])
            return found + jnp.stack([product(site, velocities[graph.centers]), -moved]), None

        return jax.lax.scan(chunk, jnp.zeros((2, 3), velocities.dtype), rows)[0]

    rows = chunks(potential, neighbors)
    carried, passed_on = sum_shares(share, rows, potential, structure, velocities, neighbors)
    kinetic = 0.5 * structure.masses * jnp.sum(velocities**2, axis=1)
    bad = poison(potential, structure, neighbors) * spread(carried + passed_on)
    return (carried + product(kinetic, velocities)) * bad, passed_on * bad
