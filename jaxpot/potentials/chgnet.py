"""CHGNet: a network whose atoms, bonds and angles all have states."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.envelopes import ENVELOPES
from jaxpot.core.chunks import chunk_shape
from jaxpot.core.elements import atomic_number, symbol
from jaxpot.core.graph import Graph, connect, species_index
from jaxpot.core.neighbors import Neighbors, neighbors
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import Node, put, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, cast
from jaxpot.potentials.chgnet_by_hops import CHGNetByHops
from jaxpot.potentials.chgnet_layers import (
    Gated,
    Layers,
    Update,
    cosines,
    first_angles,
    has_angles,
    normalised,
    radial,
)
from jaxpot.typing import Array, ArrayField, StructureLike

_ROUNDED = 3e-4  # over 1.4 degrees, about what zero-point motion turns bonds by
_SHARP = 100.0  # roundings of 1 + cos: ten widths off 180 degrees, a thousandth of the curvature is left


@pytree
class CHGNet(Potential):
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

    local = False
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
        return CHGNetByHops(self, _any_angle(graph, near))

    def rounded(self) -> "CHGNet":
        """The same weights with angles rounded over 1.4 degrees; energies of crystals change by 0.1 meV an atom."""
        return self if self.rounding >= _ROUNDED else self.replace(rounding=_ROUNDED)

    def needs_rounding(self, graph: Graph) -> Array:
        near = graph.environments().within(self.short)
        cosine = cosines(self, near.x, near.y, near.z, near.distances)
        return jnp.any((1.0 + cosine < _SHARP * self.rounding) & graph.real[:, None, None])

    def site_energies(self, graph: Graph) -> Array:
        states = self.atom_states(graph)[1][graph.centers]
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

    def atom_states(self, graph: Graph) -> tuple[Array, Array]:
        """States of atoms before and after the last update, (n, C) each."""
        bonds, last = _Bonds(self, graph), self.hops - 1
        first = self.embedding[species_index(self.species, graph.structure.numbers)]
        states = _States(first, *bonds.first_states(first.shape[1]))
        if last:
            # One program for all: the last one leaves the angles as they are.
            weights = (_stacked(self.atoms[:-1]), _stacked(self.bonds), _stacked((*self.angles, *self.angles[-1:])))
            states = jax.lax.scan(bonds.updated, states, (*weights, jnp.arange(last) < len(self.angles)))[0]
        return states.atoms, states.atoms + bonds.atom_update(self.atoms[-1], states)


@pytree
class _States(Node):
    """States between two updates.

    Attributes:
        atoms: (n, C).
        common: (C,), added to the first states of all bonds.
        bonds: (m, Kb, C), added to those with angles besides.
        angles: (m, Kb, Kb, C).
    """

    atoms: Array
    common: Array
    bonds: Array
    angles: Array


class _Bonds:
    """The bonds of a graph: those with angles are in the first Kb places of each row."""

    def __init__(self, potential: CHGNet, graph: Graph) -> None:
        self.potential, self.graph = potential, graph
        self.places = graph.environments().within(potential.short).x.shape[1]
        near = graph.distances[:, : self.places]
        self.radial = radial(graph.distances, potential.frequencies, potential.cutoff, potential.power)
        self.short_radial = radial(near, potential.short_frequencies, potential.short, potential.power)
        self.has_angles = has_angles(potential, near)
        self.any_angle = _any_angle(graph, self.has_angles)
        self.reverse = self._reverse()

    def first_states(self, channels):
        """The first `_States` but those of atoms."""
        none = jnp.zeros((*self.has_angles.shape, channels), self.radial.dtype)
        near = [a[:, : self.places] for a in (self.graph.x, self.graph.y, self.graph.z, self.graph.distances)]
        return none[0, 0], none, first_angles(self.potential, *near)

    def updated(self, states, weights):
        """`_States` after one update of each kind, as a step of a scan."""
        atoms, bonds, angles, continues = weights
        states = states.replace(atoms=states.atoms + self.atom_update(atoms, states))
        further = self.bond_update(bonds, states)
        common = states.common + self.any_angle * bonds.constant
        states = states.replace(bonds=states.bonds + further, common=common)
        if angles is not None:
            states = states.replace(angles=jax.lax.cond(
                continues, lambda s: s.angles + self.angle_update(angles, s), lambda s: s.angles, states
            ))
        return states, None

    def _reverse(self):
        """Row and place of each bond with angles, seen from its other end."""
        graph, places = self.graph, self.places
        rows = graph.on_atoms(jnp.arange(len(graph.centers), dtype=jnp.int32))[graph.others[:, :places]]
        back = [jax.lax.stop_gradient(a[:, :places]) for a in (graph.x, graph.y, graph.z)]
        square = sum((a[:, :, None] + a[rows]) ** 2 for a in back)  # (m, Kb, Kb)
        same = graph.others[:, :places][rows] == graph.centers[:, None, None]
        return rows, jnp.argmin(jnp.where(same, square, jnp.inf), axis=2)

    def _chunked(self, function, rows):
        """Map a function over chunks of rows; what it computes is computed again for derivatives.

        Measured on silicon: half the time of all rows at once, and a seventh of the memory.
        """
        count, capacity = self.graph.others.shape
        chunks, size = chunk_shape(count, capacity, self.potential.chunk_elements)
        if chunks == 1:
            return function(rows)
        found = jax.lax.map(jax.checkpoint(function), jax.tree.map(lambda a: _cut(a, chunks, size), rows))
        return found.reshape(chunks * size, *found.shape[2:])[:count]

    def atom_update(self, update, states):
        """Addends of the states of atoms, (n, C)."""
        own, bond, other = update.message.parts(3)
        mine = product(states.atoms, own) + update.message.bias + product(states.common, bond)
        shown, channels = product(states.atoms, other), len(states.common)
        of_radial = jnp.concatenate([self.potential.atom_weights, product(self.potential.bond_embedding, bond)], axis=1)

        def chunk(rows):
            radial, near, centers, others = rows
            weights, entering = jnp.split(product(radial, of_radial), [channels], axis=-1)
            further = radial.shape[1] - near.shape[1]
            entering = entering + jnp.pad(product(near, bond), ((0, 0), (0, further), (0, 0)))
            entering = entering + shown[others] + mine[centers][:, None]
            return jnp.sum(weights * update.message.behind_first(entering), axis=1)

        total = self._chunked(chunk, (self.radial, states.bonds, self.graph.centers, self.graph.others))
        return self.graph.on_atoms(product(total, update.kernel) + update.constant)

    def bond_update(self, update, states):
        """Addends of the states of bonds with angles, (m, Kb, C), from both of their ends."""
        entering = self._entering(update.message, states)
        one = (1.0 - jnp.eye(self.places, dtype=self.radial.dtype))[:, :, None]  # a bond and itself have no angle

        def chunk(rows):
            short, rows = rows
            weights = product(short, self.potential.bond_weights)
            message = update.message.behind_first(entering(rows))
            return jnp.sum(message * weights[:, None] * one, axis=2) * weights

        total = self._chunked(chunk, (self.short_radial, self._rows(states)))
        both = product(total + total[self.reverse], update.kernel)
        return jnp.where(self.has_angles[..., None], both, 0.0)

    def angle_update(self, gated, states):
        """Addends of the states of angles, (m, Kb, Kb, C)."""
        entering = self._entering(gated, states)
        return self._chunked(lambda rows: gated.behind_first(entering(rows)), self._rows(states))

    def _rows(self, states):
        return self.radial[:, : self.places], states.bonds, self.graph.centers, states.angles

    def _entering(self, gated, states):
        """A function of rows: what leaves the first layers, of both bonds, the angle, and the atom at its centre."""
        first, second, angle, center = gated.parts(4)
        mine = product(states.atoms, center) + gated.bias + product(states.common, first + second)

        def entering(rows):
            near, updates, centers, angles = rows
            bonds = product(near, self.potential.bond_embedding) + updates
            of_first = product(bonds, first) + mine[centers][:, None]
            return of_first[:, :, None] + product(bonds, second)[:, None] + product(angles, angle)

        return entering


def _any_angle(graph, has_angles):
    """1 where any two bonds of an atom have an angle, else 0."""
    pairs = jnp.sum(has_angles, axis=1) > 1
    return jnp.any(pairs & graph.real).astype(graph.distances.dtype)


def _shapes(update):
    """Shapes of the weights of an update, hashable."""
    leaves, tree = jax.tree.flatten(update)
    return tuple(jnp.shape(a) for a in leaves), tree


def _stacked(layers):
    """Weights of several updates in one tree, None without any."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *layers) if layers else None


def _cut(rows, chunks, size):
    """Rows in chunks, the last one filled with copies."""
    spare = chunks * size - len(rows)
    filled = jnp.concatenate([rows, jnp.broadcast_to(rows[-1:], (spare, *rows.shape[1:]))]) if spare else rows
    return filled.reshape(chunks, size, *rows.shape[1:])


@jax.jit
def _moments(potential, structure, listed):
    potential = cast(potential, structure.positions.dtype)
    states = potential.atom_states(connect(structure, listed))[0]
    vector, constant = potential.moment
    return jnp.abs(product(states, vector) + constant)
