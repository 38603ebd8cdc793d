"""Virials of single atoms."""

import jax

from jaxpot.checks import prepare_padded
from jaxpot.core.neighbors import Neighbors
from jaxpot.errors import DataError
from jaxpot.observables.edges import atom_virials, parts, sum_over_edges
from jaxpot.observables.rows import nan_if_any, poison, stripped
from jaxpot.potentials.base import Potential, terms_of
from jaxpot.typing import AnyArray, StructureLike


def virials(potential: Potential, structure: StructureLike, neighbors: Neighbors | None = None) -> AnyArray:
    """Virial of each atom, (n, 3, 3) eV: W_i = -sum_k r_ik (x) dE_i/dr_ik; their sum is -V * stress."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    return stripped(_virials(*prepared), n)


@jax.jit
def _virials(potential, structure, neighbors):
    others = [term for term in terms_of(potential) if not (term.local or term.edges_only)]
    if others:
        raise DataError(
            "virials of single atoms are defined for energies of the vectors between neighbours; "
            f"{others[0]!r} is another function of positions and cell: take jp.stress"
        )
    virials = sum_over_edges(atom_virials, parts(potential), structure, neighbors)
    return virials * poison(potential, structure, neighbors) * nan_if_any(virials)
