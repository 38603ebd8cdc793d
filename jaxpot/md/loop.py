"""Steps inside jit, as many as the neighbour lists allow."""

import jax
import jax.numpy as jnp

from jaxpot.core.pytree import Node, pytree
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.lists import Lists
from jaxpot.md.state import State
from jaxpot.typing import Array

GOING, WIDE, ROOM, BROKEN = range(4)


@pytree
class Progress(Node):
    """Progress of a run: the state, its lists, and why it stopped.

    reason: () int: GOING (all steps are done), WIDE (the wide list is outgrown), ROOM (a row of the short list is
    full), BROKEN (the next step has numbers that are not finite).
    """

    state: State
    lists: Lists
    reason: jax.Array


@jax.jit
def advance(dynamics: Dynamics, state: State, lists: Lists, target: Array) -> Progress:
    """`Progress` up to the step `target`, or to the last state before something has to be done on the host.

    Two loops, one in the other: lists that were carried through the steps would be copied in each. Where steps do not
    need the stress (`Dynamics.barostat`) it is that of the last step, and NaN before. Everything that positions follow
    from stands in one place, so that its rounding does not depend on where a run is interrupted.
    """
    extent = dynamics.potential.extent()

    def going(now):
        return (now[0].state.step < target) & (now[0].reason == GOING)

    def until_outgrown(now):
        now, outgrown, pruned_at = now
        structure = dynamics.first(now.state).structure
        prunable = outgrown & now.lists.may_prune(structure) & (pruned_at < now.state.step)
        lists = jax.lax.cond(prunable, lambda lists: lists.pruned(structure), lambda lists: lists, now.lists)
        reason = jnp.where(lists.sound, jnp.where(outgrown & ~prunable, WIDE, GOING), ROOM)

        def unbroken(now):
            state, reason, outgrown = now
            return (state.step < target) & (reason == GOING) & ~outgrown

        def step(now):
            state, _, _ = now
            moved = dynamics.first(state)
            held = lists.covers(moved.structure, extent)

            def taken(state):
                wanted = dynamics.barostat or state.step + 1 == target
                after = dynamics.second(dynamics.forces_at(moved, lists.short, with_stress=wanted))
                good = _finite(after, moved.structure)
                state = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, state)
                return state, jnp.where(good, GOING, BROKEN)

            state, reason = jax.lax.cond(held, taken, lambda state: (state, jnp.asarray(GOING)), state)
            return state, reason, ~held

        none = jnp.zeros((), bool)
        last, reason, outgrown = jax.lax.while_loop(unbroken, step, (now.state, reason, none))
        return Progress(last, lists, reason), outgrown, jnp.where(prunable, now.state.step, pruned_at)

    start = Progress(state, lists, jnp.asarray(GOING)), jnp.zeros((), bool), jnp.full_like(state.step, -1)
    return jax.lax.while_loop(going, until_outgrown, start)[0]


def _finite(after, structure):
    """() bool: whether all numbers of a step are finite."""
    finite = jnp.isfinite(after.energy) & jnp.all(jnp.isfinite(after.velocities))
    return finite & jnp.all(jnp.isfinite(structure.positions)) & jnp.all(jnp.isfinite(structure.cell))
