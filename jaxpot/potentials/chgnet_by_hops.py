"""CHGNet written for ONE atom, as a model of several hops: what carries lattice waves and energy currents.

Bonds and angles belong to rows of the list, and cross from one atom to another in two places: messages read the states
of neighbours, and a bond adds up what both of its ends have sent it. So one hop is an update of atoms together with
the update of bonds before it: atoms show their state, what they have sent to each of their bonds, and where these
bonds lead, by which the other end knows its own.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Environment, species_index
from jaxpot.core.pytree import pytree
from jaxpot.potentials.base import Wrapped
from jaxpot.potentials.chgnet_layers import first_angles, has_angles, normalised, radial
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.typing import Array, ArrayField, PyTree


@pytree
class CHGNetByHops(Wrapped, MessagePassing):
    """A `CHGNet` as `MessagePassing`: the same energy, in a program that is slower.

    Args:
        potential: `CHGNet`.
        any_angle: () 1 where the structure has any angle, else 0: biases of bonds are added everywhere then.
    """

    potential: Any
    any_angle: ArrayField

    @property
    def hops(self) -> int:
        return self.potential.hops

    def start(self, environment: Environment) -> PyTree:
        model = self.potential
        near = environment.within(model.short)
        atom = model.embedding[species_index(model.species, environment.number)]
        angles = first_angles(model, near.x, near.y, near.z, near.distances)
        none = jnp.zeros((len(near.x), len(atom)), atom.dtype)
        shown = {"atom": atom, "sent": none, "vectors": jax.lax.stop_gradient(near.vectors)}
        return {"shown": shown, "common": none[0], "bonds": none, "angles": angles}

    def shown(self, state: PyTree) -> PyTree:
        return state["shown"]

    def step(self, hop: int, environment: Environment, state: PyTree, others: PyTree) -> PyTree:
        model, near = self.potential, environment.within(self.potential.short)
        if hop:
            state = self._bonds_updated(hop - 1, near, state, others)
        atom, bonds = state["shown"]["atom"], self._bond_states(environment, state)
        update = model.atoms[hop]
        mine, of_bonds, of_others = update.message.parts(3)
        entering = atom @ mine + update.message.bias + bonds @ of_bonds + others["atom"] @ of_others
        weights = radial(environment.distances, model.frequencies, model.cutoff, model.power) @ model.atom_weights
        messages = jnp.sum(weights * update.message.behind_first(entering), axis=0)
        atom = atom + messages @ update.kernel + update.constant
        state = state | {"shown": state["shown"] | {"atom": atom}}
        if hop < self.hops - 1:
            state = state | {"shown": state["shown"] | {"sent": self._sent(model.bonds[hop].message, near, state)}}
        return state

    def site_energy(self, environment: Environment, state: PyTree) -> Array:
        model, atom = self.potential, state["shown"]["atom"]
        if model.readout_norm:
            atom = normalised(atom, *model.readout_norm)
        first = atom @ model.readout.kernels[0] + model.readout.biases[0]
        return model.readout.behind_first(first)[0] + model.shift[species_index(model.species, environment.number)]

    def _bond_states(self, environment, state):
        """States of all bonds, (K, C); those with angles come first."""
        model, bonds = self.potential, state["bonds"]
        waves = radial(environment.distances, model.frequencies, model.cutoff, model.power)
        further = len(environment.x) - len(bonds)
        return waves @ model.bond_embedding + state["common"] + jnp.pad(bonds, ((0, further), (0, 0)))

    def _first_layers(self, gated, near, state):
        """Outputs of the first layers: of both bonds of each angle, the angle, and the atom, (Kb, Kb, 2 C)."""
        first, second, angle, center = gated.parts(4)
        bonds = self._bond_states(near, state)
        pairs = (bonds @ first)[:, None] + (bonds @ second)[None]
        return pairs + state["angles"] @ angle + state["shown"]["atom"] @ center + gated.bias

    def _sent(self, gated, near, state):
        """Messages of an atom to each of its bonds with angles, (Kb, C)."""
        model = self.potential
        weights = radial(near.distances, model.short_frequencies, model.short, model.power) @ model.bond_weights
        messages = gated.behind_first(self._first_layers(gated, near, state))
        apart = (1.0 - jnp.eye(len(near.x), dtype=messages.dtype))[:, :, None]  # a bond and itself have no angle
        return weights * jnp.sum(apart * weights[None] * messages, axis=1)

    def _bonds_updated(self, layer, near, state, others):
        """The state after an update of bonds and one of angles, with what the neighbours have sent."""
        model, update, places = self.potential, self.potential.bonds[layer], len(near.x)
        to_center = others["vectors"][:places] + jax.lax.stop_gradient(near.vectors)[:, None]
        back = jnp.argmin(jnp.sum(to_center**2, axis=2), axis=1)
        sent = state["shown"]["sent"] + others["sent"][jnp.arange(places), back]
        addend = jnp.where(has_angles(model, near.distances)[:, None], sent @ update.kernel, 0.0)
        common = state["common"] + self.any_angle * update.constant
        state = state | {"bonds": state["bonds"] + addend, "common": common}
        if layer < len(model.angles):
            gated = model.angles[layer]
            further = gated.behind_first(self._first_layers(gated, near, state))
            state = state | {"angles": state["angles"] + further}
        return state
