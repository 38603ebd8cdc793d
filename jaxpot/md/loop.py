"""Steps inside jit, as many as the neighbour lists allow."""

import jax
import jax.numpy as jnp

from jaxpot.core.pytree import pytree

GOING, WIDE, ROOM, BROKEN = range(4)


@pytree
class Progress:
    """How far a run has come: the state, its lists, and why it stopped.

    reason: () int: GOING (all steps are done), WIDE (the wide list is outgrown), ROOM (a row of the short list is
    full), BROKEN (the next step has numbers that are not finite).
    """

    state: object
    lists: object
    reason: jax.Array


@jax.jit
def advance(dynamics, state, lists, target):
    """`Progress` up to the step `target`, or to the last state before something has to be done on the host."""
    extent = dynamics.potential.extent()

    def going(now):
        return (now.state.step < target) & (now.reason == GOING)

    def step(now):
        moved = dynamics.first(now.state)
        structure = moved.structure

        def renewed(lists):
            prunable = lists.may_prune(structure)
            return jax.lax.cond(prunable, lambda lists: lists.pruned(structure), lambda lists: lists, lists), prunable

        held = now.lists.covers(structure, extent)
        lists, served = jax.lax.cond(held, lambda lists: (lists, held), renewed, now.lists)
        found = dynamics.forces_at(moved, lists.short)
        after = dynamics.second(found)
        finite = jnp.isfinite(after.energy) & jnp.all(jnp.isfinite(after.velocities))
        finite = finite & jnp.all(jnp.isfinite(structure.positions)) & jnp.all(jnp.isfinite(structure.cell))
        reason = jnp.where(finite, GOING, BROKEN)
        reason = jnp.where(served, jnp.where(lists.sound, reason, ROOM), WIDE)
        good = reason == GOING
        state = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, now.state)
        return Progress(state, lists, reason)

    return jax.lax.while_loop(going, step, Progress(state, lists, jnp.asarray(GOING)))
