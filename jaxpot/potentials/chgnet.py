"""CHGNet: a network whose atoms, bonds and angles all have states."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.envelopes import ENVELOPES
from jaxpot.core.elements import atomic_number, symbol
from jaxpot.core.graph import Graph, connect, species_index
from jaxpot.core.neighbors import Neighbors, neighbors
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import put, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.potentials.base import cast
from jaxpot.potentials.chgnet_by_hops import CHGNetByHops
from jaxpot.potentials.chgnet_layers import Gated, Layers, Update, cosines, has_angles, normalised
from jaxpot.potentials.chgnet_states import Bonds, States, stacked, with_angles
from jaxpot.potentials.shared_sums import SharedSums
from jaxpot.typing import Array, ArrayField, StructureLike

_ROUNDED = 3e-4  # over 1.4 degrees, about what zero-point motion turns bonds by
_SHARP = 100.0  # roundings of 1 + cos: ten widths off 180 degrees, a thousandth of the curvature is left


@pytree
class CHGNet(SharedSums):
    """Network of states v of atoms, b of bonds (one for both directions), a of angles between bonds shorter than 3 A.

    They begin with the element, with n radial functions R of the length of a bond, and with sines and cosines of the
    angle, and are updated in turn, G being networks with a gate (`Gated`), w linear in R:

        v_i  += W sum_j w_ij G[v_i, b_ij, v_j]
        b_ij += W [sum_k w'_ij w'_ik G'[b_ij, b_ik, a_jik, v_i] + sum_k w'_ji w'_jk G'[b_ij, b_jk, a_ijk, v_j]]
        a_jik += G''[b_ij, b_ik, a_jik, v_i]

    The last update is one of atoms, E_i = readout(v_i) + shift_Z, and the moment of an atom is |m.v + m_0| before it.

        R_n(r) = (2 / r_c)^(1/2) sin(f_n r / r_c) / r, times a polynomial that takes it to zero at the cutoff r_c

    The angle is theta = acos((1 - rounding) cos of the angle between the bonds). sin(f theta) would have a kink at 180
    degrees, as bonds have in rocksalt and perovskites; rounded over (2 rounding)^(1/2), 0.08 degrees as published, it
    has a curvature there that ends after some 0.003 A. Second derivatives are these, not what any motion feels
    (rocksalt MgO: -1.4 eV/A^2 where forces at 0.01 to 0.1 A give 4.1 to 4.4): `rounded`.

    Args:
        embedding: (elements, C) first states of atoms.
        shift: eV, (elements,).
        frequencies, short_frequencies: f of R with the cutoff, and with the shorter one of the bonds with angles, (N,).
        angle_frequencies: f of sin(f theta) and cos(f theta).
        bond_embedding: (N, C), first states of bonds.
        atom_weights, bond_weights: (N, C), w of the first functions and w' of those of short bonds.
        angle_embedding: (1 + 2 f, C), of 1 / 2^(1/2), sines and cosines, over the root of pi.
        atoms: `Update`s, h of them.
        bonds: `Update`s, h - 1.
        angles: `Gated`s, h - 2: what angles are updated to last is read nowhere.
        readout: `Layers`, of one output.
        readout_norm: of what enters it; as `Layers.norm`.
        moment: (m (C,), m_0 ()), or () for a model without magnetic moments.
        species: elements, in the order of the rows.
        cutoff: A.
        short: A, cutoff of the bonds that have angles.
        power: of the polynomial.
        rounding: of the cosines of angles.

    References:
        B. Deng, P. Zhong, K. Jun, J. Riebesell, K. Han, C. J. Bartel, G. Ceder, Nature Machine Intelligence 5, 1031
        (2023).
    """

    embedding: ArrayField
    shift: ArrayField
    frequencies: ArrayField
    short_frequencies: ArrayField
    angle_frequencies: ArrayField
    bond_embedding: ArrayField
    atom_weights: ArrayField
    bond_weights: ArrayField
    angle_embedding: ArrayField
    atoms: tuple
    bonds: tuple
    angles: tuple
    readout: Layers
    readout_norm: tuple = ()
    moment: tuple = ()
    species: tuple = static(default=())
    cutoff: float = static(default=6.0)
    short: float = static(default=3.0)
    power: float = static(default=8)
    rounding: float = static(default=1e-6)

    edges_only = True
    has_hops = True
    offsets = ("shift",)
    chunk_elements = 512

    def __post_init__(self) -> None:
        for name in (
            "embedding", "shift", "frequencies", "short_frequencies", "angle_frequencies", "bond_embedding",
            "atom_weights", "bond_weights", "angle_embedding",
        ):
            put(self, name, as_float(getattr(self, name), name))
        for name in ("readout_norm", "moment"):
            put(self, name, tuple(as_float(a, name) for a in getattr(self, name)))
        for name in ("atoms", "bonds", "angles"):
            put(self, name, tuple(getattr(self, name)))
        put(self, "species", tuple(atomic_number(one) for one in self.species))
        if not 0.0 < self.short <= self.cutoff:
            raise DataError(f"short: expected more than 0 and at most the cutoff, {self.cutoff} A; got {self.short}")
        if not 0.0 < self.rounding < 1.0:
            raise DataError(f"rounding: expected a number between 0 and 1, as published 1e-6; got {self.rounding}")
        expected = (len(self.atoms) - 1, max(len(self.atoms) - 2, 0))
        if not self.atoms or (len(self.bonds), len(self.angles)) != expected:
            raise DataError(
                f"{len(self.atoms)} updates of atoms need {expected[0]} of bonds and {expected[1]} of angles; there "
                f"are {len(self.bonds)} and {len(self.angles)}"
            )
        for name in ("atoms", "bonds", "angles"):
            if len(set(map(_shapes, getattr(self, name)))) > 1:
                raise DataError(f"{name}: expected updates with weights of the same shapes")

    @classmethod
    def random(
        cls, key: Any, species: Sequence[int | str], cutoff: float = 6.0, short: float = 3.0, channels: int = 32,
        hops: int = 3, radial: int = 9, angular: int = 4, neighbors: float = 20.0, norm: bool = True,
    ) -> "CHGNet":
        """A network to begin with: normal weights.

        Args:
            key: of `jax.random`, or a seed.
            species: elements.
            cutoff, short: A, see the class.
            channels: numbers in each state.
            hops: updates of atoms.
            radial: number of radial functions.
            angular: number of frequencies of angles.
            neighbors: mean number within the cutoff; first weights of sums are divided by its root.
            norm: whether networks have norms.
        """
        key = jax.random.key(key) if isinstance(key, int) else key
        keys = iter(jax.random.split(key, 20 * hops + 20))
        unit = (np.ones(channels), np.zeros(channels)) if norm else ()

        def drawn(inputs, outputs, factor=1.0):
            return jax.random.normal(next(keys), (inputs, outputs)) * (factor / math.sqrt(inputs))

        def layers(*sizes, norm=unit):
            kernels = tuple(drawn(n, m) for n, m in pairwise(sizes))
            return Layers(kernels, tuple(np.zeros(m) for m in sizes[1:]), norm)

        def gated(*sizes):
            return Gated(layers(*sizes), layers(*sizes))

        def update(inputs):
            message = gated(inputs * channels, channels, channels)
            return Update(message, drawn(channels, channels, neighbors**-0.5))

        waves = np.pi * np.arange(1.0, radial + 1.0)
        return cls(
            drawn(len(species), channels, math.sqrt(len(species))), np.zeros(len(species)), waves, waves,
            np.arange(1.0, angular + 1.0), drawn(radial, channels), drawn(radial, channels), drawn(radial, channels),
            drawn(1 + 2 * angular, channels), tuple(update(3) for _ in range(hops)),
            tuple(update(4) for _ in range(hops - 1)),
            tuple(gated(4 * channels, channels) for _ in range(hops - 2)),
            layers(channels, channels, 1, norm=()), unit, (), tuple(species), float(cutoff), float(short), 6,
        )

    @property
    def hops(self) -> int:
        return len(self.atoms)

    @property
    def reach(self) -> float:
        return self.hops * self.cutoff

    @property
    def shorter(self) -> tuple[float, ...]:
        return (self.short,)

    @property
    def smoothness(self) -> int:
        return -1 if any(update.bias for update in self.bonds) else ENVELOPES["polynomial"].smoothness

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.short, self.cutoff)

    def by_hops(self, structure: Structure, listed: Neighbors) -> CHGNetByHops:
        graph = connect(structure, listed)
        near = has_angles(self, graph.environments().within(self.short).distances)
        return CHGNetByHops(self, (with_angles(graph, near) > 0.0).astype(graph.distances.dtype))

    @property
    def narrow(self) -> str:
        if self.rounding >= _ROUNDED:
            return ""
        return "angles of 180 degrees, whose second derivatives hold within some 0.003 A (rounded: 1.4 degrees)"

    def rounded(self) -> "CHGNet":
        """The same weights with angles rounded over 1.4 degrees; energies of crystals change by 0.1 meV an atom."""
        return self.replace(rounding=max(self.rounding, _ROUNDED))

    def needs_rounding(self, graph: Graph) -> Array:
        near = graph.environments().within(self.short)
        cosine = cosines(self, near.x, near.y, near.z, near.distances)
        return jnp.any((1.0 + cosine < _SHARP * self.rounding) & graph.real[:, None, None])

    def sums(self, graph: Graph, counted: Array) -> Array:
        """Number of atoms with an angle: biases of bonds are added everywhere where there is one."""
        near = has_angles(self, graph.environments().within(self.short).distances)
        return with_angles(graph, near & counted[graph.centers][:, None])

    def site_energies_from(self, graph: Graph, sums: Array) -> Array:
        states = self.atom_states(graph, sums)[1][graph.centers]
        if self.readout_norm:
            states = normalised(states, *self.readout_norm)
        first = product(states, self.readout.kernels[0]) + self.readout.biases[0]
        element = species_index(self.species, graph.center_numbers)
        return self.readout.behind_first(first)[:, 0] + self.shift[element]

    def magnetic_moments(self, structure: StructureLike) -> Array:
        """Magnitudes of the magnetic moments, (n,) Bohr magnetons.

        Raises:
            DataError: a model without moments, or an element that it does not know.
        """
        if not self.moment:
            raise DataError("this CHGNet has no magnetic moments: they come with published models")
        structure = Structure.of(structure)
        unknown = set(np.asarray(structure.numbers).tolist()) - set(self.species)
        if unknown:
            raise DataError(f"unknown to this model: {', '.join(symbol(z) for z in sorted(unknown))}")
        return _moments(self, structure, neighbors(structure, self.cutoff, inner=self.shorter))

    def atom_states(self, graph: Graph, angles: Array) -> tuple[Array, Array]:
        """States of atoms before and after the last update, (n, C) each; angles: number of atoms that have any, ()."""
        bonds, last = Bonds(self, graph, angles), self.hops - 1
        first = self.embedding[species_index(self.species, graph.structure.numbers)]
        states = States(first, *bonds.first_states(first.shape[1]))
        if last:
            # One program for all: the last one leaves the angles as they are.
            weights = (stacked(self.atoms[:-1]), stacked(self.bonds), stacked((*self.angles, *self.angles[-1:])))
            states = jax.lax.scan(bonds.updated, states, (*weights, jnp.arange(last) < len(self.angles)))[0]
        return states.atoms, states.atoms + bonds.atom_update(self.atoms[-1], states)


def _shapes(update):
    """Shapes of the weights of an update, hashable."""
    leaves, tree = jax.tree.flatten(update)
    return tuple(jnp.shape(a) for a in leaves), tree


@jax.jit
def _moments(potential, structure, listed):
    potential = cast(potential, structure.positions.dtype)
    graph = connect(structure, listed)
    states = potential.atom_states(graph, potential.sums(graph, structure.numbers > 0))[0]
    vector, constant = potential.moment
    return jnp.abs(product(states, vector) + constant)
