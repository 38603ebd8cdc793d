"""DTNN, the deep tensor network: states of neighbours and distances are multiplied before tanh is taken."""

import math
from collections.abc import Sequence
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
from jaxpot.core.pytree import put, pytree, static
from jaxpot.core.shapes import check_shapes, only_width
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.typing import Array, ArrayField, PyTree

_TANH = 1.5925374197228321  # 1 / root of the mean of tanh(x)^2, x normally distributed
_GAUSSIANS = math.pi**-0.25  # 1 / root of the sum over k of exp(-(x - k)^2), nearly the same for all x


@pytree
class DTNN(MessagePassing):
    """Deep tensor network of several hops, all with the same weights: states are C numbers c that do not turn.

    Atoms begin with a vector of their element, and in each hop add to it (o: element by element)

        c_i += sum_j f(r_ij) tanh(W_fc [(W_cf c_j + b_1) o (W_df g(r_ij) + b_2)])

    g_k = exp(-(r - mu_k)^2 / 2 sigma^2), N Gaussians of the distance. In the end

        E_i = scale_Z out.tanh(V c_i + b) + shift_Z

    The envelope f, a polynomial with two continuous derivatives that is zero at the cutoff, is an addition: the
    original has none, since it is for molecules, all of whose atoms see one another. It has one scale and one shift,
    here each element has its own.

    Args:
        embedding: (elements, C), first states.
        state_factors: W_cf, (C, F).
        state_bias: b_1, (F,).
        distance_factors: W_df, (N, F).
        distance_bias: b_2, (F,).
        messages: W_fc, (F, C).
        readout_kernel: V, (C, H).
        readout_bias: b, (H,).
        readout: out, (H,).
        scale, shift: eV, (elements,) each.
        gaussian_centers: mu, A, (N,).
        gaussian_width: sigma, A, ().
        species: elements, in the order of the rows.
        cutoff: A.
        hops: how many.
        power: p of the envelope (`basis.envelopes.polynomial`).

    Raises:
        DataError: arrays that do not fit one another; it says which.

    References:
        K. T. Schuett, F. Arbabzadah, S. Chmiela, K.-R. Mueller, A. Tkatchenko, Nat. Commun. 8, 13890 (2017), Methods.
    """

    embedding: ArrayField
    state_factors: ArrayField
    state_bias: ArrayField
    distance_factors: ArrayField
    distance_bias: ArrayField
    messages: ArrayField
    readout_kernel: ArrayField
    readout_bias: ArrayField
    readout: ArrayField
    scale: ArrayField
    shift: ArrayField
    gaussian_centers: ArrayField
    gaussian_width: ArrayField
    species: tuple = static()
    cutoff: float = static(default=5.0)
    hops: int = static(default=3)
    power: float = static(default=6)

    offsets = ("shift",)
    start_sees_neighbors = False
    smoothness = ENVELOPES["polynomial"].smoothness
    chunk_elements = 512

    def __post_init__(self) -> None:
        for name in (
            "embedding", "state_factors", "state_bias", "distance_factors", "distance_bias", "messages",
            "readout_kernel", "readout_bias", "readout", "scale", "shift", "gaussian_centers",
            "gaussian_width",
        ):
            put(self, name, as_float(getattr(self, name), name))
        put(self, "species", tuple(atomic_number(one) for one in self.species))
        put(self, "cutoff", as_length(self.cutoff, "cutoff"))
        elements, channels = len(self.species), math.prod(self.embedding.shape[1:])
        factors, gaussians, outputs = self.state_bias.size, self.gaussian_centers.size, self.readout.size
        check_shapes(
            "DTNN", ("embedding", self.embedding, (elements, channels)), ("scale", self.scale, (elements,)),
            ("shift", self.shift, (elements,)), ("state_factors", self.state_factors, (channels, factors)),
            ("state_bias", self.state_bias, (factors,)),
            ("distance_factors", self.distance_factors, (gaussians, factors)),
            ("distance_bias", self.distance_bias, (factors,)), ("messages", self.messages, (factors, channels)),
            ("readout_kernel", self.readout_kernel, (channels, outputs)),
            ("readout_bias", self.readout_bias, (outputs,)), ("readout", self.readout, (outputs,)),
            ("gaussian_centers", self.gaussian_centers, (gaussians,)), ("gaussian_width", self.gaussian_width, ()),
        )

    @classmethod
    def random(
        cls, key: Any, species: Sequence[int | str], cutoff: float = 5.0, channels: Sequence[int] = (30,),
        hops: int = 3, radial: int = 25, hidden: Sequence[int] = (60,), neighbors: float = 20.0,
    ) -> "DTNN":
        """A network to begin with: normal weights, so that what leaves each layer has a mean square of about 1.

        Args:
            key: of `jax.random`, or a seed.
            species: elements.
            cutoff: A.
            channels: of states, C, one number in a tuple: they have no higher degrees. There are half as many numbers
                behind the first layer of the readout.
            hops: how many.
            radial: number of Gaussians, as far from each other as they are wide, from 0 to the cutoff.
            hidden: number of factors, F, in a tuple.
            neighbors: mean number within the cutoff; sums over neighbours are divided by its root.

        Raises:
            DataError: several numbers of channels or factors.
        """
        width, factors = only_width("DTNN", "channels", channels), only_width("DTNN", "hidden", hidden)
        count, half = len(species), max(width // 2, 1)
        key = jax.random.key(key) if isinstance(key, int) else key
        keys = iter(jax.random.split(key, 6))

        def drawn(inputs, outputs, factor=1.0):
            return jax.random.normal(next(keys), (inputs, outputs)) * (factor / math.sqrt(inputs))

        # States grow from hop to hop, which share their weights: these are for the mean. Gaussians have a sum of
        # squares that does not grow with their number. Messages are so small that tanh is nearly linear.
        return cls(
            drawn(count, width, math.sqrt(count)), drawn(width, factors, (0.5 * (1 + max(hops, 1))) ** -0.5),
            np.zeros(factors), drawn(radial, factors, _GAUSSIANS * math.sqrt(radial)), np.zeros(factors),
            drawn(factors, width, neighbors**-0.5), drawn(width, half, (1 + hops) ** -0.5), np.zeros(half),
            drawn(half, 1, _TANH)[:, 0], np.ones(count), np.zeros(count), np.linspace(0.0, cutoff, radial),
            np.array(cutoff / max(radial - 1, 1)), tuple(species), float(cutoff), hops,
        )

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.cutoff,)

    def weight_mask(self) -> "DTNN":
        return mask_of(self, "readout")

    def shown(self, state: PyTree) -> PyTree:
        return state["shown"]

    def start(self, environment: Environment) -> PyTree:
        return self._handed_on(0, self.embedding[species_index(self.species, environment.number)])

    def _handed_on(self, hop, c):
        """State for a hop: behind the last one, neighbours see nothing of it."""
        return {"own": c, "shown": product(c, self.state_factors) + self.state_bias if hop < self.hops else ()}

    def step(self, hop: int, environment: Environment, state: PyTree, others: PyTree) -> PyTree:
        mask, r = inside(environment.distances, self.cutoff)
        envelope = jnp.where(mask, polynomial(r, self.cutoff, self.power), 0.0)
        messages = jnp.tanh(product(others * self._factors(r), self.messages))
        return self._handed_on(hop + 1, state["own"] + product(envelope, messages))

    def _factors(self, r):
        """W_df g + b_2, (K, F)."""

        def of_distances(parameters, r):
            kernel, bias, centers, width = parameters
            return product(jnp.exp(-0.5 * ((r[:, None] - centers) / width) ** 2), kernel) + bias

        parameters = self.distance_factors, self.distance_bias, self.gaussian_centers, self.gaussian_width
        return of_one_variable(of_distances, parameters, r)

    def site_energy(self, environment: Environment, state: PyTree) -> Array:
        element = species_index(self.species, environment.number)
        entering = jnp.tanh(product(state["own"], self.readout_kernel) + self.readout_bias)
        return self.scale[element] * jnp.sum(self.readout * entering) + self.shift[element]
