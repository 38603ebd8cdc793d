"""What stands below the shortest distances of the data, where a fit of ACE has nothing to go by: a repulsive core.

Radial functions rise from zero to all they are a little below these distances, and where they fall the energy of two
nuclei, screened by their electrons, takes over: as PACE has it, in the same file.
"""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np

from jaxpot.basis.radial_bases import RadialBasis
from jaxpot.core.elements import symbol
from jaxpot.descriptors.cluster_expansion import ClusterExpansion
from jaxpot.potentials.described import Described
from jaxpot.potentials.zbl import screened_repulsion
from jaxpot.readouts.embedded_densities import EmbeddedDensities

_BELOW = 0.97  # of the shortest distance: frames that are not in the data come a little closer
_WIDTH = 0.15  # of the distance at which radial functions are whole
_UNREACHED = (100000.0, 250.0)  # eV: cores that high switch the rest off, in PACE


def with_core(basis: RadialBasis, shortest: float) -> RadialBasis:
    """Radial basis that rises below a distance, A."""
    inner = _BELOW * shortest
    return basis._replace(inner=inner, inner_width=_WIDTH * inner)


def core_of(term: ClusterExpansion) -> Described:
    """The cores of an atom and its neighbours, below the inner cutoffs of an expansion with one kind of centre."""
    (center,) = cast(tuple, term.centers)
    strengths = tuple(
        _strength(center, z, basis.inner) for z, basis in zip(term.species, term.bases, strict=True)
    )
    cores = term.replace(components=(), scales=None, core=strengths)
    return Described(cores, EmbeddedDensities(np.zeros((1, 0)), core=_UNREACHED))


def described_cores(distances: Mapping[tuple[int, int], float]) -> str:
    """A sentence for reports."""
    pairs = ", ".join(f"{symbol(a)}-{symbol(b)} {_BELOW * r:.3g} A" for (a, b), r in distances.items())
    return f"a screened nuclear repulsion below the distances of the data: {pairs}"


def _strength(first, second, inner):
    """p and q of p exp(-q r^2) / r, half an energy that is the one of Ziegler, Biersack and Littmark at inner / 2.

    At `inner` it is what theirs is at 0.7 of that: enough to outweigh bonds that end there with the radial functions.
    """
    near = screened_repulsion(first, second, 0.5 * inner) * 0.5 * inner
    far = screened_repulsion(first, second, 0.7 * inner) * inner
    q = math.log(near / far) / (0.75 * inner**2)
    return 0.5 * far * math.exp(q * inner**2), q
