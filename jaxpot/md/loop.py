"""Steps inside jit, as many as the neighbour lists allow."""

import jax
import jax.numpy as jnp

from jaxpot.core.pytree import pytree
from jaxpot.observables import evaluate

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
    """`Progress` up to the step `target`, or to the last state before something has to be done on the host.

    Two loops, one in the other: lists that were carried through the steps would be copied in each. Where steps do not
    need the stress (`Dynamics.barostat`) it is computed at the end only, and is NaN where there is a `reason`.
    """
    extent = dynamics.potential.extent()

    def going(now):
        return (now.state.step < target) & (now.reason == GOING)

    def until_outgrown(now):
        """Steps with lists that serve at least one of them, or the reason why there are none."""
        structure = dynamics.first(now.state).structure
        held = now.lists.covers(structure, extent)
        prunable = ~held & now.lists.may_prune(structure)
        lists = jax.lax.cond(prunable, lambda lists: lists.pruned(structure), lambda lists: lists, now.lists)
        reason = jnp.where(lists.sound, jnp.where(lists.covers(structure, extent), GOING, WIDE), ROOM)

        def step(now):
            state, moved, _ = now
            after = dynamics.second(dynamics.forces_at(moved, lists.short, with_stress=dynamics.barostat))
            good = _finite(after, moved.structure)
            state = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, state)
            return state, dynamics.first(state), jnp.where(good, GOING, BROKEN)

        def served(now):
            state, moved, reason = now
            return (state.step < target) & (reason == GOING) & lists.covers(moved.structure, extent)

        found = jax.lax.while_loop(served, step, (now.state, dynamics.first(now.state), reason))
        return Progress(found[0], lists, found[2])

    found = jax.lax.while_loop(going, until_outgrown, Progress(state, lists, jnp.asarray(GOING)))
    if dynamics.barostat:
        return found
    stress = evaluate(dynamics.potential, found.state.structure, found.lists.short).stress
    return found.replace(state=found.state.replace(stress=jnp.where(found.reason == GOING, stress, jnp.nan)))


def _finite(after, structure):
    """() bool: the numbers of a step are."""
    finite = jnp.isfinite(after.energy) & jnp.all(jnp.isfinite(after.velocities))
    return finite & jnp.all(jnp.isfinite(structure.positions)) & jnp.all(jnp.isfinite(structure.cell))
