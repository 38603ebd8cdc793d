"""Potentials of several hops, written for ONE atom: each hop, every atom reads the states of its neighbours.

    h_i^0     = start(environment of i)
    h_i^(k+1) = step(k, environment of i, h_i^k, {h_j^k of the neighbours j})        k = 0 ... hops - 1
    E         = sum_i site_energy(environment of i, h_i^hops)

The author writes the three functions; the framework maps them over atoms in chunks, gathers the states of neighbours,
and takes derivatives by hand-over: forward hop by hop, keeping the states of atoms alone, then backward, where every
chunk is computed once more. Memory is that of the states and of one chunk, whatever the number of hops. The only
gather is `Graph.at_neighbors`, the only scatter `Graph.on_atoms` with its transpose: a lattice wave gives them a phase
(`properties.lattice_waves`), a first moment gives them a lever (`observables.heat_flux`), devices share them.

References:
    J. Gilmer, S. S. Schoenholz, P. F. Riley, O. Vinyals, G. E. Dahl, Neural message passing for quantum chemistry,
    Proc. 34th Int. Conf. Machine Learning, PMLR 70, 1263 (2017).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxpot.core.chunks import scan_chunks
from jaxpot.core.devices import sum_shares
from jaxpot.core.graph import Environment, Graph, connect_rows
from jaxpot.core.masks import masked, slopes_by_masked
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.typing import Array, PyTree


class MessagePassing(Potential):
    """Base of potentials of several hops. Subclasses are `@pytree`s with `cutoff`, `hops` and the three functions.

    A state is a pytree of floating arrays, those of one atom: (C,), (C, 3), ... Neighbours beyond the cutoff, and
    empty places, must have no effect (`basis.cutoffs.inside`): their states are those of some atom. What only the atom
    itself reads of its state need not be gathered: see `shown`.

    Attributes:
        hops: how often states of neighbours are read. 0: a local potential, but slower.
        reach: A, (hops + 1) cutoffs; hops cutoffs where a subclass says that `start` looks at the element alone.
    """

    hops: int
    local = False
    edges_only = True
    has_hops = True
    start_sees_neighbors = True

    def by_hops(self, structure: Structure, listed: Neighbors) -> "MessagePassing":
        return self

    @property
    def reach(self) -> float:
        return (self.hops + self.start_sees_neighbors) * self.cutoff if self.hops else self.cutoff

    def start(self, environment: Environment) -> PyTree:
        """First state of one atom in its environment."""
        raise NotImplementedError  # a subclass's duty

    def shown(self, state: PyTree) -> PyTree:
        """Select the part of a state that neighbours read, such as `state["message"]`; all of it by default.

        A choice among the branches of the tree, and no computation: it is made of tangents, too.
        """
        return state

    def step(self, hop: int, environment: Environment, state: PyTree, others: PyTree) -> PyTree:
        """Next state of one atom, from its own and from what its K neighbours show, arrays (K, ...)."""
        raise NotImplementedError  # a subclass's duty

    def site_energy(self, environment: Environment, state: PyTree) -> Array:
        """Energy of one atom with its last state, () eV."""
        raise NotImplementedError  # a subclass's duty

    @property
    def n_features(self) -> int:
        """Number of weights that the energy is linear in (`weight_mask`), M."""
        mask = self.weight_mask()
        return 0 if mask is None else sum(map(jnp.size, masked(self, mask)))

    def features(self, environment: Environment, state: PyTree) -> Array:
        """dE_i/dweights of one atom with its last state, (M,), of weights that `site_energy` alone reads."""
        return slopes_by_masked(lambda potential: potential.site_energy(environment, state), self, self.weight_mask())

    def site_energies(self, graph: Graph) -> Array:
        """Energies of all rows of a graph, (m,) eV: all hops at once, without chunks."""
        return layers(self)[-1](*inputs_of(self, graph, _last_states(self, graph)))

    def site_features(self, graph: Graph) -> Array:
        """Features of all rows of a graph, (m, M) eV: all hops at once, without chunks."""
        environments, rows, _ = inputs_of(self, graph, _last_states(self, graph))
        return jax.vmap(self.features)(environments, rows)


def _last_states(potential, graph):
    """States of all atoms behind the last hop."""
    state: PyTree = None
    for layer in layers(potential)[:-1]:
        state = graph.on_atoms(layer(*inputs_of(potential, graph, state)))
    return state


def layers(potential: MessagePassing) -> list[Callable[..., PyTree]]:
    """Functions (environments, states, states of neighbours) -> states of rows; of the last one, site energies (m,)."""
    check_hops(potential)

    def first(environments, states, others):
        return jax.vmap(potential.start)(environments)

    def step(hop, environments, states, others):
        return jax.vmap(partial(potential.step, hop))(environments, states, others)

    def last(environments, states, others):
        return jax.vmap(potential.site_energy)(environments, states)

    return [first, *(partial(step, hop) for hop in range(potential.hops)), last]


def check_hops(potential: MessagePassing) -> None:
    """Refuse a number of hops that is none."""
    hops = getattr(potential, "hops", None)
    if not isinstance(hops, int) or isinstance(hops, bool) or hops < 0:
        raise DataError(f"{type(potential).__name__}: hops must be a whole number of at least 0, got {hops!r}")


def inputs_of(potential: MessagePassing, graph: Graph, states: PyTree) -> tuple[Environment, PyTree, PyTree]:
    """Inputs of a layer for a chunk: environments, states of its atoms, what their neighbours show."""
    if states is None:
        return graph.environments(), None, None
    others = graph.at_neighbors(potential.shown(states))
    return graph.environments(), jax.tree.map(lambda a: a[graph.centers], states), others


def as_states(potential: MessagePassing, like: PyTree, shown: PyTree) -> PyTree:
    """States that are zero but for what is shown: the transpose of `MessagePassing.shown`.

    Args:
        like: a tree of states.
        shown: a tree of what is shown of them.
    """
    return jax.linear_transpose(potential.shown, like)(shown)[0]


def atom_states(
    potential: MessagePassing, structure: Structure, neighbors: Neighbors, rows: tuple[Array, ...], shared: bool = False
) -> list[PyTree]:
    """States that enter the layers, a list of trees (n, ...), None for the first layer.

    Args:
        potential: cast to the precision of the structure.
        rows: those of the list in chunks (`observables.rows.chunks`).
        shared: whether the devices of a mesh share the rows; not where this is differentiated in reverse.
    """
    states = [None]
    for layer in range(len(layers(potential)) - 1):
        def share(rows, potential, structure, neighbors, state, layer=layer):
            def chunk(rows):
                graph = connect_rows(structure, neighbors, rows)
                return graph.on_atoms(layers(potential)[layer](*inputs_of(potential, graph, state)))

            return sum_of_chunks(jax.checkpoint(chunk), rows, neighbors.filled)

        arguments = (rows, potential, structure, neighbors, states[-1])
        states.append(sum_shares(share, *arguments) if shared else share(*arguments))
    return states


def sum_of_chunks(function: Callable[..., PyTree], rows: PyTree, filled: Array | None = None) -> PyTree:
    """Sum of a tree of arrays over chunks, one after the other, those of the first `filled` rows (None: all)."""
    if rows[0].shape[0] == 1:
        return function(jax.tree.map(lambda a: a[0], rows))
    shapes = jax.eval_shape(function, jax.tree.map(lambda a: a[0], rows))
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)

    def add(sums, rows):
        return jax.tree.map(jnp.add, sums, function(rows)), None

    return scan_chunks(add, zeros, rows, filled)[0]


def row_energies(
    potential: MessagePassing, structure: Structure, neighbors: Neighbors, rows: tuple[Array, ...]
) -> tuple[Array, Array]:
    """Site energies and the atoms they belong to, (rows,) each, copies zero; to be differentiated."""
    state = atom_states(potential, structure, neighbors, rows)[-1]

    def chunk(rows):
        graph = connect_rows(structure, neighbors, rows)
        sites = layers(potential)[-1](*inputs_of(potential, graph, state))
        return jnp.where(graph.real, sites * graph.sound, 0.0), graph.centers

    if rows[0].shape[0] == 1:
        return chunk(jax.tree.map(lambda a: a[0], rows))
    sites, centers = jax.lax.map(jax.checkpoint(chunk), rows)
    return sites.reshape(-1), centers.reshape(-1)


def pulled_layer(
    potential: MessagePassing, layer: int, graph: Graph, states: PyTree, slopes: PyTree
) -> tuple[Array, tuple[Array, ...], PyTree]:
    """One layer of a chunk, backwards.

    Args:
        layer: its number.
        states: what entered it, of all atoms.
        slopes: dE/d(states that left it), of all atoms; None for the last layer.

    Returns:
        site energies (rows,), zero but for the last layer; dE by x, y, z and distance, (rows, K) each; what it adds to
        dE/d(states that entered it), of all atoms, None for the first layer.
    """
    function = layers(potential)[layer]
    environments, rows, others = inputs_of(potential, graph, states)

    def of_geometry(x, y, z, r, rows, others):
        return function(environments.replace(x=x, y=y, z=z, distances=r), rows, others)

    output, pull = jax.vjp(
        of_geometry, environments.x, environments.y, environments.z, environments.distances, rows, others
    )
    real = graph.real

    def seed(slope):
        taken = slope[graph.centers]
        return jnp.where(real.reshape(-1, *[1] * (taken.ndim - 1)), taken, 0)

    seeds = real.astype(output.dtype) if slopes is None else jax.tree.map(seed, slopes)
    *gradient, to_rows, to_others = pull(seeds)
    sites = jnp.where(real, output, 0.0) if slopes is None else jnp.zeros(real.shape, graph.x.dtype)
    if states is None:
        return sites, tuple(gradient), None
    back = as_states(potential, states, graph.from_neighbors(to_others))
    return sites, tuple(gradient), jax.tree.map(jnp.add, graph.on_atoms(to_rows), back)
