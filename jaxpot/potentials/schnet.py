"""SchNet: networks of several hops whose messages are states, filtered by a network of the distance."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.basis.envelopes import ENVELOPES, polynomial
from jaxpot.basis.one_variable import of_one_variable
from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.masks import mask_of
from jaxpot.core.numbers import as_length
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import Node, put, pytree, static
from jaxpot.core.shapes import check_shapes, only_width
from jaxpot.errors import DataError
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.typing import Array, ArrayField, PyTree

_SOFTPLUS = 1.8755962561350425  # 1 / root of the mean of s(x)^2, s the shifted softplus, x normally distributed
_GAUSSIANS = math.pi**-0.25  # 1 / root of the sum over k of exp(-(x - k)^2), nearly the same for all x


@pytree
class FilteredInteraction(Node):
    """Weights of one hop. Matrices are (inputs, outputs).

    Args:
        sent: (C, F), from a state to what neighbours see of it.
        filters: matrices of the network that makes F filters of N Gaussians of a distance: (N, ...), ..., (..., F).
        filter_biases: (outputs,) of each.
        received: (F, C), of the sum of messages.
        received_bias: (C,).
        update: (C, C), behind the shifted softplus.
        update_bias: (C,).
    """

    sent: ArrayField
    filters: tuple
    filter_biases: tuple
    received: ArrayField
    received_bias: ArrayField
    update: ArrayField
    update_bias: ArrayField

    def __post_init__(self) -> None:
        for name in ("sent", "received", "received_bias", "update", "update_bias"):
            put(self, name, as_float(getattr(self, name), name))
        for name in ("filters", "filter_biases"):
            put(self, name, tuple(as_float(a, name) for a in getattr(self, name)))
        if not self.filters or len(self.filters) != len(self.filter_biases):
            raise DataError(
                f"filters: expected one layer or more and a bias for each, got {len(self.filters)} matrices and "
                f"{len(self.filter_biases)} biases"
            )


@pytree
class SchNet(MessagePassing):
    """Network of several hops of continuous-filter convolutions: states are C numbers x that do not turn.

    Atoms begin with a vector of their element, and in each hop add to it (o: element by element)

        x_i += W'' s(W' sum_j (W x_j) o w(r_ij) f(r_ij) + b') + b''         s(y) = ln(e^y / 2 + 1 / 2)

    w: layers with s between them, of N Gaussians g_k = exp(-(r - mu_k)^2 / 2 sigma^2) of the distance. In the end

        E_i = scale_Z out.s(V x_i + c) + shift_Z

    The envelope f is a polynomial with two continuous derivatives that is zero at the cutoff. The paper of 2017 has
    none, and a further s behind the last layer of w; SchNetPack leaves out that s, and lets f be a cosine, whose second
    derivative jumps at the cutoff.

    Args:
        embedding: (elements, C), first states.
        interactions: `FilteredInteraction`s, one for each hop.
        readout_kernel: V, (C, H).
        readout_bias: c, (H,).
        readout: out, (H,).
        scale, shift: eV, (elements,) each.
        gaussian_centers: mu, A, (N,).
        gaussian_width: sigma, A, ().
        species: elements, in the order of the rows.
        cutoff: A.
        power: p of the envelope (`basis.envelopes.polynomial`).

    Raises:
        DataError: arrays that do not fit one another; it says which.

    References:
        K. T. Schuett, P.-J. Kindermans, H. E. Sauceda, S. Chmiela, A. Tkatchenko, K.-R. Mueller, SchNet, Advances in
        Neural Information Processing Systems 30 (2017); K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko,
        K.-R. Mueller, J. Chem. Phys. 148, 241722 (2018); K. T. Schuett et al., J. Chem. Theory Comput. 15, 448 (2019)
        (SchNetPack).
    """

    embedding: ArrayField
    interactions: tuple
    readout_kernel: ArrayField
    readout_bias: ArrayField
    readout: ArrayField
    scale: ArrayField
    shift: ArrayField
    gaussian_centers: ArrayField
    gaussian_width: ArrayField
    species: tuple = static()
    cutoff: float = static(default=5.0)
    power: float = static(default=6)

    offsets = ("shift",)
    start_sees_neighbors = False
    smoothness = ENVELOPES["polynomial"].smoothness
    chunk_elements = 512

    def __post_init__(self) -> None:
        for name in (
            "embedding", "readout_kernel", "readout_bias", "readout", "scale", "shift", "gaussian_centers",
            "gaussian_width",
        ):
            put(self, name, as_float(getattr(self, name), name))
        put(self, "species", tuple(atomic_number(one) for one in self.species))
        put(self, "interactions", tuple(self.interactions))
        put(self, "cutoff", as_length(self.cutoff, "cutoff"))
        self._check()

    def _check(self):
        """Refuse arrays that do not fit one another."""
        elements, channels, outputs = len(self.species), math.prod(self.embedding.shape[1:]), self.readout.size
        gaussians = self.gaussian_centers.size
        check_shapes(
            "SchNet", ("embedding", self.embedding, (elements, channels)), ("scale", self.scale, (elements,)),
            ("shift", self.shift, (elements,)), ("readout_kernel", self.readout_kernel, (channels, outputs)),
            ("readout_bias", self.readout_bias, (outputs,)), ("readout", self.readout, (outputs,)),
            ("gaussian_centers", self.gaussian_centers, (gaussians,)), ("gaussian_width", self.gaussian_width, ()),
        )
        for hop, layer in enumerate(self.interactions):
            widths = [gaussians, *(bias.size for bias in layer.filter_biases)]
            check_shapes(
                f"SchNet: interaction {hop}", ("sent", layer.sent, (channels, widths[-1])),
                *((f"filters[{k}]", layer.filters[k], pair) for k, pair in enumerate(pairwise(widths))),
                *((f"filter_biases[{k}]", bias, (bias.size,)) for k, bias in enumerate(layer.filter_biases)),
                ("received", layer.received, (widths[-1], channels)),
                ("received_bias", layer.received_bias, (channels,)),
                ("update", layer.update, (channels, channels)), ("update_bias", layer.update_bias, (channels,)),
            )

    @classmethod
    def random(
        cls, key: Any, species: Sequence[int | str], cutoff: float = 5.0, channels: Sequence[int] = (64,),
        hops: int = 3, radial: int = 25, hidden: Sequence[int] = (64,), neighbors: float = 20.0,
    ) -> "SchNet":
        """A network to begin with: normal weights, so that what leaves each layer has a mean square of about 1.

        Args:
            key: of `jax.random`, or a seed.
            species: elements.
            cutoff: A.
            channels: of states, C, one number in a tuple: they have no higher degrees. There are as many filters, and
                half as many numbers behind the first layer of the readout.
            hops: how many.
            radial: number of Gaussians, as far from each other as they are wide, from 0 to the cutoff.
            hidden: widths of the hidden layers of the networks of distances.
            neighbors: mean number within the cutoff; sums over neighbours are divided by its root.

        Raises:
            DataError: channels of several degrees.
        """
        width, count = only_width("SchNet", "channels", channels), len(species)
        half = max(width // 2, 1)
        key = jax.random.key(key) if isinstance(key, int) else key
        keys = iter(jax.random.split(key, 3 + hops * (len(hidden) + 4)))

        def drawn(inputs, outputs, factor=1.0):
            return jax.random.normal(next(keys), (inputs, outputs)) * (factor / math.sqrt(inputs))

        def of_hop(hop):
            widths = (radial, *hidden, width)
            # Gaussians have a sum of squares that does not grow with their number; states grow with each hop.
            factors = [_GAUSSIANS * math.sqrt(radial), *[_SOFTPLUS] * len(hidden)]
            return FilteredInteraction(
                drawn(width, width, (1 + hop) ** -0.5),
                tuple(drawn(n, m, factor) for (n, m), factor in zip(pairwise(widths), factors, strict=True)),
                tuple(np.zeros(m) for m in widths[1:]), drawn(width, width, neighbors**-0.5), np.zeros(width),
                drawn(width, width, _SOFTPLUS), np.zeros(width),
            )

        return cls(
            drawn(count, width, math.sqrt(count)), tuple(of_hop(hop) for hop in range(hops)),
            drawn(width, half, (1 + hops) ** -0.5), np.zeros(half), drawn(half, 1, _SOFTPLUS)[:, 0], np.ones(count),
            np.zeros(count), np.linspace(0.0, cutoff, radial), np.array(cutoff / max(radial - 1, 1)), tuple(species),
            float(cutoff),
        )

    @property
    def hops(self) -> int:
        return len(self.interactions)

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.cutoff,)

    def weight_mask(self) -> "SchNet":
        return mask_of(self, "readout")

    def shown(self, state: PyTree) -> PyTree:
        return state["shown"]

    def start(self, environment: Environment) -> PyTree:
        return self._handed_on(0, self.embedding[species_index(self.species, environment.number)])

    def _handed_on(self, hop, x):
        """State for a hop: behind the last one, neighbours see nothing of it."""
        return {"own": x, "shown": product(x, self.interactions[hop].sent) if hop < self.hops else ()}

    def step(self, hop: int, environment: Environment, state: PyTree, others: PyTree) -> PyTree:
        layer = self.interactions[hop]
        message = jnp.sum(others * self._filters(layer, environment.distances), axis=0)
        received = shifted_softplus(product(message, layer.received) + layer.received_bias)
        return self._handed_on(hop + 1, state["own"] + product(received, layer.update) + layer.update_bias)

    def _filters(self, layer, distances):
        """w f, (K, F), zero beyond the cutoff."""

        def of_distances(parameters, r):
            kernels, biases, centers, width, within = parameters
            x = jnp.exp(-0.5 * ((r[:, None] - centers) / width) ** 2)
            for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
                x = shifted_softplus(product(x, kernel) + bias)
            envelope = jnp.where(within > 0.0, polynomial(r, self.cutoff, self.power), 0.0)
            return (product(x, kernels[-1]) + biases[-1]) * envelope[:, None]

        mask, r = inside(distances, self.cutoff)
        gaussians = self.gaussian_centers, self.gaussian_width
        parameters = layer.filters, layer.filter_biases, *gaussians, mask.astype(r.dtype)
        return of_one_variable(of_distances, parameters, r)

    def site_energy(self, environment: Environment, state: PyTree) -> Array:
        element = species_index(self.species, environment.number)
        entering = shifted_softplus(product(state["own"], self.readout_kernel) + self.readout_bias)
        return self.scale[element] * jnp.sum(self.readout * entering) + self.shift[element]


def shifted_softplus(x: Array) -> Array:
    """ln(e^x / 2 + 1 / 2): smooth, 0 at 0, x - ln 2 far above it.

    References:
        K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018).
    """
    return jax.nn.softplus(x) - math.log(2.0)
