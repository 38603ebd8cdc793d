"""MACE: networks of few hops, each of which sees many bodies by products of what an atom receives."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.envelopes import ENVELOPES, check_envelope
from jaxpot.basis.symmetric_products import symmetric_products_of
from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.masks import mask_of
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import Node, put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.equivariant_messages import (
    SILU,
    CouplingPath,
    RadialNetwork,
    before_last,
    paths,
    sums_over_neighbors,
)
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.typing import Array, ArrayField, PyTree

_RADIAL = 1.118  # (3 int_0^1 f(x)^2 dx / 2)^(-1/2) with the polynomial envelope f of p = 5


@pytree
class ProductHop(Node):
    """Weights of one hop. Matrices act on channels, one for each degree l = 0, 1, ...: (inputs, outputs).

    Args:
        sent: of what neighbours show; the same number of outputs as inputs.
        radial: layers of the network that makes weights of messages of a distance, silu between them; outputs of the
            last one: those of each path in turn, as many as there are channels of its first degree.
        received: from all paths to a degree to the C channels of A, for each degree of A.
        products: (elements, products, C) for each degree L that leaves, products in the order of
            `basis.symmetric_products.products_of`.
        mixed: (C, outputs) for each degree L that leaves.
        own: (elements, inputs, outputs), from the state of an atom to its next one; for each degree that both have.
        readout: layers from the scalars that leave to one number, silu between them. One layer is linear.
    """

    sent: tuple
    radial: tuple
    received: tuple
    products: tuple
    mixed: tuple
    own: tuple
    readout: tuple

    def __post_init__(self) -> None:
        for name in ("sent", "radial", "received", "products", "mixed", "own", "readout"):
            put(self, name, tuple(as_float(a, name) for a in getattr(self, name)))
            axes = 3 if name in ("products", "own") else 2
            shapes = [a.shape for a in getattr(self, name)]
            if not shapes and name != "own" or any(len(shape) != axes for shape in shapes):
                raise DataError(f"{name}: expected at least one array, each of {axes} axes; got shapes {shapes}")

    @property
    def entering(self) -> tuple[int, ...]:
        """Number of channels of each degree of the states that enter."""
        return tuple(matrix.shape[0] for matrix in self.sent)

    @property
    def leaving(self) -> tuple[int, ...]:
        """Number of channels of each degree of the states that leave."""
        return tuple(matrix.shape[1] for matrix in self.mixed)


@pytree
class MACE(MessagePassing):
    """Network of several hops whose messages are sums over products of up to three sums over neighbours.

    A state h holds channels of each degree l, 2 l + 1 numbers each. In a hop, channels are mixed (`sent`), multiplied
    with harmonics of the vectors to the neighbours, summed, and mixed (`received`) to C channels of each degree,

        A_u,l3,: = mix[sum_j w(r_ij) (2 l3 + 1)^(1/2) sum_m1,m2 C[m1, m2, :] h_j,m1 Y_m2(r_ij)]        (l1, l2) -> l3

    with w a network of n radial functions amplitude sin(c_n r) / r, which an envelope takes to zero at the cutoff, C
    the symbols of `coupling`, and Y harmonics with a sum of squares of 2 l + 1. From the A of a channel all independent
    products B of up to `correlation` factors are made that turn with a degree L (`basis.symmetric_products`), and

        m_u,LM = sum_eta W[Z_i, eta, u] B_u,eta,LM        h'_i,LM = mixed m_LM + own[Z_i] h_i,LM
        E_i = scale_Z sum_hops readout(h'_i,0) + shift_Z

    in which the readout is linear but for the last hop. Vectors are those from the atom to its neighbours. A mirror
    image changes states of degree l by (-1)^l, and energies not at all.

    Args:
        embedding: (elements, channels) scalars of the first state.
        layers: `ProductHop`s, one for each hop; scalars alone leave the last one.
        scale, shift: eV, (elements,) each.
        frequencies: c, 1/A, (N,).
        amplitude: of the radial functions.
        species: elements, in the order of the rows.
        cutoff: A.
        harmonics: highest degree of Y and of A.
        correlation: most factors in a product, 1 to 3; of a hop, what leaves it has a body order of one more.
        envelope: name and its number: ("polynomial", p) or ("xplor", onset in A); see `basis.envelopes`.

    Raises:
        DataError: weights that do not fit each other, an envelope or a correlation that there is not.

    References:
        I. Batatia, D. P. Kovacs, G. Simm, C. Ortner, G. Csanyi, Advances in Neural Information Processing Systems 35
        (2022), equations 8 to 13.
    """

    embedding: ArrayField
    layers: tuple
    scale: ArrayField
    shift: ArrayField
    frequencies: ArrayField
    amplitude: ArrayField
    species: tuple = static()
    cutoff: float = static(default=5.0)
    harmonics: int = static(default=3)
    correlation: int = static(default=3)
    envelope: tuple = static(default=("polynomial", 5))

    offsets = ("shift",)
    start_sees_neighbors = False
    chunk_elements = 512

    def __post_init__(self) -> None:
        for name in ("embedding", "scale", "shift", "frequencies", "amplitude"):
            put(self, name, as_float(getattr(self, name), name))
        put(self, "species", tuple(atomic_number(one) for one in self.species))
        put(self, "layers", tuple(self.layers))
        check_envelope(self.envelope, self.cutoff)
        elements = len(self.species)
        for name in ("embedding", "scale", "shift"):
            shape, axes = getattr(self, name).shape, 2 if name == "embedding" else 1
            if shape[:1] != (elements,) or len(shape) != axes:
                raise DataError(f"{name}: expected {axes} axes, the first of {elements} elements; got shape {shape}")
        entering = self.embedding.shape[1:]
        for hop, layer in enumerate(self.layers):
            self._check(hop, layer, entering)
            entering = layer.leaving
        if not self.layers or len(entering) != 1:
            raise DataError(
                f"layers: expected at least one, and scalars alone to leave the last; got {self.hops} and channels "
                f"{entering}"
            )

    def _check(self, hop, layer, entering):
        """Refuse weights of a hop that do not fit each other, or the channels (of each degree) of states that enter."""
        if layer.entering != entering or len(layer.received) != self.harmonics + 1:
            raise DataError(
                f"layer {hop}: expected `sent` for channels {entering}, those that enter, and {self.harmonics + 1} "
                f"matrices `received`, one for each degree of the harmonics; got channels {layer.entering} and "
                f"{len(layer.received)} matrices"
            )
        every, channels, elements = self.paths(hop), layer.received[0].shape[1], len(self.species)
        received = [0] * (self.harmonics + 1)
        for first, _, third in every:
            received[third] += entering[first]
        expected = {
            "sent": [(n, n) for n in entering],
            "radial": _following(layer.radial, len(self.frequencies), sum(received)),
            "received": [(n, channels) for n in received],
            "products": [(elements, len(labels), channels) for labels in self._products(hop).labels],
            "mixed": [(channels, m) for m in layer.leaving],
            "own": [(elements, n, m) for n, m in zip(entering, layer.leaving, strict=False)],
            "readout": _following(layer.readout, layer.leaving[0], 1),
        }
        for name, shapes in expected.items():
            given = [array.shape for array in getattr(layer, name)]
            if given != shapes:
                raise DataError(f"layer {hop}, {name}: expected arrays of shapes {shapes}, got {given}")

    @classmethod
    def random(
        cls, key: Any, species: Sequence[int | str], cutoff: float = 5.0, channels: int | Sequence[int] = (32, 32),
        hops: int = 2, radial: int = 8, hidden: Sequence[int] = (32, 32), neighbors: float = 20.0, correlation: int = 3,
        harmonics: int = 3, readout: int = 16,
    ) -> "MACE":
        """A network to begin with: normal weights, so that what leaves each layer has a mean square of about 1.

        Args:
            key: of `jax.random`, or a seed.
            species: elements.
            cutoff: A.
            channels: of each degree of the states between the hops, there are scalars alone before and after; a number
                is that of scalars where there is nothing else. The first one is that of A.
            hops: how many.
            radial: number of radial functions.
            hidden: widths of the networks of distances.
            neighbors: mean number within the cutoff; sums over neighbours are divided by its root.
            correlation: most factors in a product.
            harmonics: highest degree of harmonics and of A.
            readout: width of the last readout.

        Raises:
            DataError: no channels, no hops, or a correlation that is not 1 to 3.
        """
        channels = (channels,) if isinstance(channels, int) else tuple(channels)
        if not channels or min(channels) < 1:
            raise DataError(f"channels: expected at least one of each degree, got {channels}")
        if hops < 1:
            raise DataError(f"hops: expected at least 1, got {hops}")
        key = jax.random.key(key) if isinstance(key, int) else key
        count, width = len(species), channels[0]
        keys = iter(jax.random.split(key, 1 + hops * (len(hidden) + 4 + 4 * len(channels) + harmonics)))

        def drawn(*shape, variance):
            return jax.random.normal(next(keys), shape) * np.sqrt(variance)

        def mixing(inputs, outputs, variance=1.0):
            return drawn(inputs, outputs, variance=variance / max(inputs, 1))

        def of_hop(entering, leaving, last):
            every = paths(len(entering) - 1, harmonics, harmonics, True)
            widths = (radial, *hidden, sum(entering[first] for first, _, _ in every))
            received = [sum(entering[a] for a, _, c in every if c == degree) for degree in range(harmonics + 1)]
            labels = symmetric_products_of(harmonics, len(leaving) - 1, correlation).labels
            ends = (width, readout, 1) if last else (width, 1)
            # A has a mean square of a half, and what an atom keeps, too: cubes of numbers above 1 grow from hop to hop.
            return ProductHop(
                tuple(mixing(n, n) for n in entering),
                tuple(mixing(n, m, SILU**2 if k else 1.0) for k, (n, m) in enumerate(pairwise(widths))),
                tuple(mixing(n, width, 0.5 / neighbors) for n in received),
                tuple(drawn(count, len(one), width, variance=_shares(one)[:, None]) for one in labels),
                tuple(mixing(width, m) for m in leaving),
                tuple(drawn(count, n, m, variance=0.5 / n) for n, m in zip(entering, leaving, strict=False)),
                tuple(mixing(n, m, SILU**2 if k else 1.0) for k, (n, m) in enumerate(pairwise(ends))),
            )

        # Of neighbours that fill the sphere evenly, radial functions have a mean square of 1 with this amplitude.
        amplitude = np.array(_RADIAL * cutoff)
        states = [channels[:1], *[channels] * (hops - 1), channels[:1]]
        return cls(
            drawn(count, width, variance=1.0),
            tuple(of_hop(*pair, k == hops - 1) for k, pair in enumerate(pairwise(states))),
            np.ones(count), np.zeros(count), np.pi / cutoff * np.arange(1.0, radial + 1.0), amplitude,
            tuple(species), float(cutoff), harmonics, correlation,
        )

    @property
    def hops(self) -> int:
        return len(self.layers)

    @property
    def smoothness(self) -> int:
        return ENVELOPES[self.envelope[0]].smoothness

    @property
    def kinks(self) -> tuple[float, ...]:
        return ENVELOPES[self.envelope[0]].kinks(self.cutoff, self.envelope[1])

    def weight_mask(self) -> "MACE":
        last = (f"layers[{hop}].readout[{len(layer.readout) - 1}]" for hop, layer in enumerate(self.layers))
        return mask_of(self, *last)

    def paths(self, hop: int) -> tuple[CouplingPath, ...]:
        """Degrees (l1 of states, l2 of harmonics, l3 of A) in the order of the radial weights of a hop."""
        return paths(len(self.layers[hop].sent) - 1, self.harmonics, self.harmonics, True)

    def _products(self, hop):
        outputs = len(self.layers[hop].mixed) - 1
        return symmetric_products_of(self.harmonics, outputs, self.correlation)

    def shown(self, state: PyTree) -> PyTree:
        return state["shown"]

    def start(self, environment: Environment) -> PyTree:
        element = species_index(self.species, environment.number)
        scalars = self.embedding[element][None, :]
        return self._handed_on(0, element, [scalars], ())

    def _handed_on(self, hop, element, features, read):
        """State for a hop, of features (2 l + 1, C) of each degree and what the last layers of readouts will read."""
        if hop == self.hops:
            return {"read": read, "own": (), "shown": ()}
        layer = self.layers[hop]
        return {
            "read": read,
            "own": tuple(product(x, matrix[element]) for x, matrix in zip(features, layer.own, strict=False)),
            "shown": tuple(product(x, matrix) for x, matrix in zip(features, layer.sent, strict=True)),
        }

    def step(self, hop: int, environment: Environment, state: PyTree, others: PyTree) -> PyTree:
        layer, products = self.layers[hop], self._products(hop)
        element = species_index(self.species, environment.number)
        parts = jnp.concatenate(self.sums_over_neighbors(hop, environment, others))
        weights = products.spread(layer.products)[element]  # spread for all atoms at once
        messages = products.apply(parts, weights)
        features = [product(x, matrix) for x, matrix in zip(messages, layer.mixed, strict=True)]
        for degree, of_itself in enumerate(state["own"]):
            features[degree] = features[degree] + of_itself
        read = (*state["read"], before_last(layer.readout, features[0]))
        return self._handed_on(hop + 1, element, features, read)

    def sums_over_neighbors(self, hop: int, environment: Environment, others: PyTree) -> list[Array]:
        """A of one atom, a list over degrees of (2 l + 1, C), of what its K neighbours show: (K, 2 l + 1, ...) each."""
        layer, every = self.layers[hop], self.paths(hop)
        radial = RadialNetwork(layer.radial, self.frequencies, self.amplitude, self.cutoff, self.envelope)
        sums = sums_over_neighbors(environment, others, radial, every, self.harmonics, len(layer.received))
        return [product(of_degree, matrix) for of_degree, matrix in zip(sums, layer.received, strict=True)]

    def site_energy(self, environment: Environment, state: PyTree) -> Array:
        element = species_index(self.species, environment.number)
        # Here alone, so that the energy is linear in weights that no state depends on.
        energies = [product(x, layer.readout[-1])[0, 0] for x, layer in zip(state["read"], self.layers, strict=True)]
        return self.scale[element] * sum(energies) + self.shift[element]


def _shares(labels):
    """Variances of the weights of products: equal shares for all orders k, over the mean square (2 k - 1)!! of x^k."""
    orders = [len(degrees) for degrees, _ in labels]
    moments = {1: 1.0, 2: 3.0, 3: 15.0}
    return np.array([1.0 / (len(set(orders)) * orders.count(k) * moments[k]) for k in orders])


def _following(layers, inputs, outputs):
    """Shapes that layers have if they follow one another from so many inputs to so many outputs."""
    return list(pairwise([inputs, *(matrix.shape[1] for matrix in layers[:-1]), outputs]))
