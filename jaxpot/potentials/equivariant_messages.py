"""Messages that turn with the structure: states times harmonics of the vectors to the neighbours, coupled and summed.

    m_u = sum_j w_u(r_ij) (2 l3 + 1)^(1/2) sum_m1,m2 C[m1, m2, :] x_j,u,m1 Y_m2(r_ij)             paths (l1, l2) -> l3

with w a network of n radial functions, C the symbols of `coupling`, and Y harmonics with a sum of squares of 2 l + 1.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.coupling import coupling
from jaxpot.basis.cutoffs import inside
from jaxpot.basis.envelopes import ENVELOPES
from jaxpot.basis.harmonics import real_harmonics
from jaxpot.basis.one_variable import of_one_variable
from jaxpot.core.gemm import gemm
from jaxpot.core.graph import Environment
from jaxpot.core.precision import product
from jaxpot.typing import Array

CouplingPath = tuple[int, int, int]

HIGHEST_DEGREE = 8  # in files: beyond, the tables alone would take minutes
SILU = 1.6765324703310907  # 1 / root of the mean of silu(x)^2, x normally distributed


def paths(states: int, harmonics: int, messages: int, parity: bool) -> tuple[CouplingPath, ...]:
    """All (l1, l2, l3) that couple, up to the highest degrees of states, harmonics and messages; l3 runs fastest."""
    return tuple(
        (first, second, third)
        for first in range(states + 1)
        for second in range(harmonics + 1)
        for third in range(abs(first - second), min(first + second, messages) + 1)
        if not parity or (first + second + third) % 2 == 0
    )


def ends(sizes: Iterable[int]) -> np.ndarray:
    """Places at which to split what has parts of these sizes."""
    return np.cumsum([*sizes])[:-1]


def through(layers: Sequence[Array], features: Array) -> Array:
    """Outputs (..., m) of layers with silu between them, of features (..., n)."""
    return product(before_last(layers, features), layers[-1])


def before_last(layers: Sequence[Array], features: Array) -> Array:
    """Inputs (..., m) of the last of layers with silu between them, of features (..., n)."""
    for matrix in layers[:-1]:
        features = jax.nn.silu(product(features, matrix))
    return features


class RadialNetwork(NamedTuple):
    """Network that makes weights of messages of a distance.

    It reads n functions amplitude sin(c_n r) / r, which an envelope takes to zero at the cutoff.

    Attributes:
        layers: matrices, silu between them.
        frequencies: c, 1/A, (n,).
        amplitude: ().
        cutoff: A.
        envelope: name and its number; see `basis.envelopes`.
    """

    layers: Sequence[Array]
    frequencies: Array
    amplitude: Array
    cutoff: float
    envelope: tuple

    def weights(self, distances: Array) -> Array:
        """w (K, outputs of the last layer) of distances (K,), zero from the cutoff on."""
        (name, number), cutoff = self.envelope, self.cutoff
        mask, r = inside(distances, cutoff)

        def of_distances(parameters, r):
            layers, frequencies, amplitude, within = parameters
            envelope = jnp.where(within > 0.0, ENVELOPES[name].value(r, cutoff, number), 0.0)
            return through(layers, amplitude * jnp.sin(r[:, None] * frequencies) * (envelope / r)[:, None])

        parameters = self.layers, self.frequencies, self.amplitude, mask.astype(r.dtype)
        return of_one_variable(of_distances, parameters, r)


def sums_over_neighbors(
    environment: Environment, shown: Sequence[Array], radial: RadialNetwork, every: Sequence[CouplingPath],
    harmonics: int, degrees: int,
) -> list[Array]:
    """Messages of one atom, a list over the degrees l3 of (2 l3 + 1, channels of all paths to it).

    Args:
        environment: of the atom, with K neighbours.
        shown: states of the neighbours, (K, 2 l1 + 1, channels) of each degree.
        radial: its weights are those of each path in turn, as many as there are channels of l1.
        every: paths (l1, l2, l3).
        harmonics: highest degree of Y.
        degrees: number of degrees l3.
    """
    r = environment.distances
    unit = environment.x / r, environment.y / r, environment.z / r
    values = jnp.concatenate(real_harmonics(harmonics, *unit), axis=-1)
    turned = product(values, jnp.asarray(_tables(every, harmonics), r.dtype))  # (K, sum of (2 l1 + 1) (2 l3 + 1))
    # Splits, whose transpose puts parts side by side: that of slices would add up as many arrays filled with zeros.
    weights = jnp.split(radial.weights(r), ends(shown[first].shape[-1] for first, _, _ in every), axis=1)
    matrices = jnp.split(turned, ends((2 * first + 1) * (2 * third + 1) for first, _, third in every), axis=1)
    sums: list[list[Array]] = [[] for _ in range(degrees)]
    for (first, _, third), weight, matrix in zip(every, weights, matrices, strict=True):
        weighted = (weight[:, None, :] * shown[first]).reshape(-1, weight.shape[1])  # (K (2 l1 + 1), channels)
        sums[third].append(gemm(matrix.reshape(-1, 2 * third + 1), weighted, turn_a=True))
    return [jnp.concatenate(of_degree, axis=-1) for of_degree in sums]


@lru_cache(maxsize=64)
def _tables(every: Sequence[CouplingPath], highest: int) -> np.ndarray:
    """Matrix from orthonormal harmonics to (4 pi (2 l3 + 1))^(1/2) sum_m2 C[m1, m2, m3] Y_m2 of all paths."""
    columns = []
    for first, second, third in every:
        block = np.zeros(((highest + 1) ** 2, (2 * first + 1) * (2 * third + 1)))
        symbols = math.sqrt(4.0 * math.pi * (2 * third + 1)) * np.moveaxis(coupling(first, second, third), 1, 0)
        block[second**2 : (second + 1) ** 2] = symbols.reshape(2 * second + 1, -1)
        columns.append(block)
    return np.concatenate(columns, axis=1)
