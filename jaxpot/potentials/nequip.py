"""NequIP: networks of several hops whose states turn with the structure, and their published descendants."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.envelopes import ENVELOPES, check_envelope
from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.masks import mask_of
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.equivariant_messages import SILU, CouplingPath, RadialNetwork, ends, paths, sums_over_neighbors
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.typing import Array, ArrayField, PyTree

_TINY = 1e-12  # of the mean square that a norm divides by


@pytree
class Interaction(Node):
    """Weights of one hop. Matrices act on channels, one for each degree l = 0, 1, ...: (inputs, outputs).

    Args:
        own: what an atom hands to itself, to what enters the gate; matrices of zero inputs where there are none.
        sent: what it shows its neighbours; the same number of outputs as inputs.
        radial: layers of the network that makes weights of messages of a distance, silu between them; outputs of the
            last one: those of each path of `paths` in turn, as many as there are channels of its first degree.
        received: from all paths to what enters the gate.
        sent_bias, received_bias: of the scalars, (C,).
        norm: weights (C,) of each degree, by which what enters the gate is multiplied once its mean square is 1; or ().
    """

    own: tuple
    sent: tuple
    radial: tuple
    received: tuple
    sent_bias: ArrayField
    received_bias: ArrayField
    norm: tuple = ()

    def __post_init__(self) -> None:
        for name in ("own", "sent", "radial", "received", "norm"):
            object.__setattr__(self, name, tuple(as_float(a, name) for a in getattr(self, name)))
        for name in ("sent_bias", "received_bias"):
            object.__setattr__(self, name, as_float(getattr(self, name), name))

    @property
    def channels(self) -> tuple[int, ...]:
        """Number of channels of each degree that neighbours show."""
        return tuple(matrix.shape[1] for matrix in self.sent)

    @property
    def degrees(self) -> int:
        """Number of degrees that enter the gate."""
        return len(self.received)


@pytree
class NequIP(MessagePassing):
    """Network of several hops whose states are scalars, vectors and tensors of higher degrees.

    A state holds channels x_u of each degree l, 2 l + 1 numbers each. In a hop, channels are mixed (`sent`), multiplied
    with harmonics of the vectors to the neighbours, and summed,

        m_u = sum_j w_u(r_ij) (2 l3 + 1)^(1/2) sum_m1,m2 C[m1, m2, :] x_j,u,m1 Y_m2(r_ij)         paths (l1, l2) -> l3

    with w a network of n radial functions (2 / r_c)^(1/2 or 1) sin(c_n r) / r, which an envelope takes to zero at the
    cutoff, C the symbols of `coupling`, and Y harmonics with a sum of squares of 2 l + 1. Messages are mixed
    (`received`), and `own` of the atom's state added. The gate applies silu to scalars, and multiplies each channel of
    a higher degree with silu of a scalar of its own. In the end

        E_i = scale_Z readout.x + shift_Z

    with the scalars x of the last state. Vectors are those from the atom to its neighbours.

    Args:
        embedding: (elements, C) scalars of the first state.
        interactions: `Interaction`s, one for each hop.
        readout: (C,).
        scale, shift: eV, (elements,) each.
        frequencies: c, 1/A, (N,).
        amplitude: of the radial functions.
        species: elements, in the order of the rows.
        cutoff: A.
        harmonics: highest degree of Y.
        parity: only paths with even l1 + l2 + l3: states do not change their sign when the structure is mirrored.
            Otherwise all paths are there, and mirror images may have different energies.
        envelope: name and its number: ("polynomial", p) or ("xplor", onset in A); see `basis.envelopes`.

    References:
        S. Batzner et al., Nat. Commun. 13, 2453 (2022); M. Geiger, T. Smidt, e3nn, arXiv:2207.09453 (2022); Y. Park,
        J. Kim, S. Hwang, S. Han, J. Chem. Theory Comput. 20, 4857 (2024) (SevenNet).
    """

    embedding: ArrayField
    interactions: tuple
    readout: ArrayField
    scale: ArrayField
    shift: ArrayField
    frequencies: ArrayField
    amplitude: ArrayField
    species: tuple = static()
    cutoff: float = static(default=5.0)
    harmonics: int = static(default=2)
    parity: bool = static(default=True)
    envelope: tuple = static(default=("polynomial", 6))

    offsets = ("shift",)
    start_sees_neighbors = False
    chunk_elements = 512

    def __post_init__(self) -> None:
        for name in ("embedding", "readout", "scale", "shift", "frequencies", "amplitude"):
            object.__setattr__(self, name, as_float(getattr(self, name), name))
        object.__setattr__(self, "species", tuple(atomic_number(one) for one in self.species))
        object.__setattr__(self, "interactions", tuple(self.interactions))
        check_envelope(self.envelope, self.cutoff)
        for hop, layer in enumerate(self.interactions):
            self._check(hop, layer)

    def _check(self, hop, layer):
        """Refuse weights that do not fit the paths of a hop."""
        wanted = sum(layer.channels[first] for first, _, _ in self.paths(hop))
        if layer.radial[-1].shape[1] != wanted:
            raise DataError(
                f"interaction {hop}: expected {wanted} weights of messages, those of {len(self.paths(hop))} paths; "
                f"radial gives {layer.radial[-1].shape[1]}"
            )

    @classmethod
    def random(
        cls, key: Any, species: Sequence[int | str], cutoff: float = 5.0, channels: Sequence[int] = (32, 16, 8),
        hops: int = 2, radial: int = 8, hidden: Sequence[int] = (32, 32), neighbors: float = 20.0, parity: bool = True,
    ) -> "NequIP":
        """A network to begin with: normal weights, so that what leaves each layer has a mean square of about 1.

        Args:
            key: of `jax.random`, or a seed.
            species: elements.
            cutoff: A.
            channels: of each degree of the states between the hops; there are scalars alone before and after.
            hops: how many.
            radial: number of radial functions.
            hidden: widths of the networks of distances.
            neighbors: mean number within the cutoff; sums over neighbours are divided by its root.
            parity: see the class.
        """
        key = jax.random.key(key) if isinstance(key, int) else key
        keys = iter(jax.random.split(key, 2 + hops * (len(hidden) + 1 + 3 * len(channels))))

        def drawn(inputs, outputs, factor=1.0):
            return jax.random.normal(next(keys), (inputs, outputs)) * (factor / math.sqrt(max(inputs, 1)))

        def of_hop(shown, leaving):
            hop = HopWidths.of(shown, leaving, len(channels) - 1, parity)
            widths = (radial, *hidden, sum(hop.weights))
            return Interaction(
                tuple(drawn(n, m) for n, m in zip(shown, hop.entering, strict=False)),
                tuple(drawn(n, n) for n in shown),
                tuple(drawn(n, m, SILU if k else 1.0) for k, (n, m) in enumerate(pairwise(widths))),
                tuple(drawn(n, m, neighbors**-0.5) for n, m in zip(hop.received, hop.entering, strict=True)),
                np.zeros(shown[0]), np.zeros(hop.entering[0]),
            )

        channels, count = tuple(channels), len(species)
        states = [channels[:1], *[channels] * (hops - 1), channels[:1]]
        return cls(
            drawn(count, channels[0], math.sqrt(count)), tuple(of_hop(*pair) for pair in pairwise(states)),
            drawn(channels[0], 1, SILU)[:, 0], np.ones(count), np.zeros(count),
            np.pi / cutoff * np.arange(1.0, radial + 1.0), np.array(2.0 / cutoff), tuple(species), float(cutoff),
            len(channels) - 1, parity,
        )

    @property
    def hops(self) -> int:
        return len(self.interactions)

    @property
    def mirrors(self) -> bool:
        return self.parity

    @property
    def smoothness(self) -> int:
        return ENVELOPES[self.envelope[0]].smoothness

    @property
    def kinks(self) -> tuple[float, ...]:
        return ENVELOPES[self.envelope[0]].kinks(self.cutoff, self.envelope[1])

    def weight_mask(self) -> "NequIP":
        return mask_of(self, "readout")

    def paths(self, hop: int) -> tuple[CouplingPath, ...]:
        """Degrees (l1 of states, l2 of harmonics, l3 of messages) in the order of the radial weights of a hop."""
        layer = self.interactions[hop]
        return paths(len(layer.channels) - 1, self.harmonics, layer.degrees - 1, self.parity)

    def shown(self, state: PyTree) -> PyTree:
        return state["shown"]

    def start(self, environment: Environment) -> PyTree:
        scalars = self.embedding[species_index(self.species, environment.number)]
        return self._handed_on(0, [scalars[None, :]])

    def _handed_on(self, hop, features):
        """State for a hop, of features (2 l + 1, C) of each degree."""
        layer = self.interactions[hop]
        shown = _mixed(layer.sent, features)
        shown[0] = shown[0] + layer.sent_bias
        return {"own": tuple(_mixed(layer.own, features)), "shown": tuple(shown)}

    def step(self, hop: int, environment: Environment, state: PyTree, others: PyTree) -> PyTree:
        layer = self.interactions[hop]
        radial = RadialNetwork(layer.radial, self.frequencies, self.amplitude, self.cutoff, self.envelope)
        messages = sums_over_neighbors(environment, others, radial, self.paths(hop), self.harmonics, layer.degrees)
        entering = _mixed(layer.received, messages)
        entering[0] = entering[0] + layer.received_bias
        for degree, own in enumerate(state["own"]):
            entering[degree] = entering[degree] + own
        features = _gated(_normalised(layer.norm, entering) if layer.norm else entering)
        if hop + 1 < self.hops:
            return self._handed_on(hop + 1, features)
        return {"own": (features[0][0],), "shown": ()}

    def site_energy(self, environment: Environment, state: PyTree) -> Array:
        element = species_index(self.species, environment.number)
        return self.scale[element] * jnp.sum(self.readout * state["own"][0]) + self.shift[element]


class HopWidths(NamedTuple):
    """Numbers of channels in a hop.

    Attributes:
        paths: as of `paths`.
        weights: of the messages of each path.
        received: of the sums of messages, for each degree.
        entering: of what enters the gate, for each degree: beside the scalars, one more for each higher channel.
    """

    paths: tuple[CouplingPath, ...]
    weights: tuple[int, ...]
    received: tuple[int, ...]
    entering: tuple[int, ...]

    @classmethod
    def of(cls, shown: Sequence[int], leaving: Sequence[int], harmonics: int, parity: bool) -> "HopWidths":
        """Widths for channels that neighbours show, and channels that leave the gate, of each degree."""
        every = paths(len(shown) - 1, harmonics, len(leaving) - 1, parity)
        received = (sum(shown[a] for a, _, c in every if c == third) for third in range(len(leaving)))
        return cls(
            every, tuple(shown[a] for a, _, _ in every), tuple(received),
            (leaving[0] + sum(leaving[1:]), *leaving[1:]),
        )

    def in_turn(self, matrix: np.ndarray, order: Sequence[int]) -> np.ndarray:
        """Columns for each path in turn, of a matrix that has them in another order of the paths."""
        blocks = np.split(matrix, ends(self.weights[n] for n in order), axis=1)
        return np.concatenate([blocks[order.index(n)] for n in range(len(self.paths))], axis=1)


def _mixed(matrices, features):
    """Channels of each degree mixed, of those degrees that have both features (2 l + 1, C) and a matrix."""
    return [product(x, matrix) for x, matrix in zip(features, matrices, strict=False)]


def _gated(entering):
    """Scalars by silu, the first as many as there are others than gates; higher degrees times silu of a gate each."""
    scalars, higher = entering[0], entering[1:]
    gates = sum(x.shape[1] for x in higher)
    acted, place = jax.nn.silu(scalars), scalars.shape[1] - gates
    features = [acted[:, :place]]
    for x in higher:
        features.append(acted[:, place : place + x.shape[1]] * x)
        place += x.shape[1]
    return features


def _normalised(weights, entering):
    """Each degree times its weights, divided by the root of the mean over degrees of sum_u,m x^2 / (2 l + 1)^2."""
    squares = [jnp.sum(x * x) / len(x) ** 2 for x in entering]
    factor = jax.lax.rsqrt(sum(squares) / len(squares) + _TINY)
    return [weight * x * factor for x, weight in zip(entering, weights, strict=True)]
