"""A number of steps as one pure function, for derivatives of what a simulation ends in."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jaxpot.checks import checked_neighbors
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.numbers import as_whole
from jaxpot.core.precision import is_traced
from jaxpot.errors import DataError
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.state import State
from jaxpot.typing import PyTree

_SKIN = 1.0  # A


def steps(
    dynamics: Dynamics, state: State, n: int, neighbors: Neighbors | None = None,
    keep: Callable[[State], Any] | None = None,
) -> tuple[State, Any]:
    """Simulate n steps that can be differentiated, vectorised and compiled: a `jax.lax.scan` over `dynamics.step`.

    The trajectory is that of `md.run`. Derivatives are exact, in forward and in reverse mode, with respect to
    everything in `dynamics` (parameters of the potential, temperature, friction, time step) and in `state` (positions,
    velocities, cell); random numbers stay the same. In reverse mode the states are kept, and each step is computed
    twice. Derivatives of chaotic trajectories grow with their length, by a factor of ten in half a picosecond or so:
    they are exact, and say little about averages of long runs.

    Forces, energy and stress of the start are computed anew: those in `state` may be of another potential, or of other
    positions.

        def end(potential):
            last, _ = jp.md.steps(dynamics.replace(potential=potential), start, 100, listed)
            return last.temperature

        start = dynamics.init(structure, temperature=300.0)
        listed = jp.neighbors(structure, potential.cutoff, skin=1.0)
        slopes = jax.grad(end)(potential)

    Args:
        dynamics: `NVE`, `Langevin`, `VelocityRescaling`, `NoseHoover` or `CellRescaling`.
        state: `State`, as of `dynamics.init`.
        n: how many steps; static.
        neighbors: list of the beginning, which has to serve all steps. By default one with a skin of 1 A is made, which
            positions that are traced do not allow under `jax.jit` or `jax.vmap`. Where a step outgrows it, all that
            follows is NaN: make one with a larger skin.
        keep: function of a state; what it returns of each is kept. None: nothing.

    Returns:
        The last `State`, and what was kept, an axis of n steps in front; None without `keep`.

    Raises:
        DataError: no ensemble, no state, a list that cannot be made.
    """
    if not isinstance(dynamics, Dynamics):
        raise DataError(f"dynamics: expected an ensemble of jaxpot.md, got {type(dynamics).__name__}")
    if not isinstance(state, State):
        raise DataError(f"state: expected a State, as dynamics.init(structure) returns, got {type(state).__name__}")
    n = as_whole(n, "n", 0, 10**9)
    if neighbors is None:
        neighbors = jax.device_put(checked_neighbors(dynamics.potential, state.structure, skin=_SKIN))
    return _scan(dynamics, state, neighbors, n, keep)


@partial(jax.jit, static_argnames=("n", "keep"))
def _scan(dynamics, state, neighbors, n, keep):
    @jax.checkpoint
    def step(state, _):
        state = dynamics.step(state, neighbors)
        return state, None if keep is None else keep(state)

    return jax.lax.scan(step, dynamics.forces_at(state, neighbors), length=n)


def refuse_traced(*trees: PyTree) -> None:
    """Refuse derivatives and `jax.jit` of functions that work on the host, and name the alternative.

    Raises:
        DataError: a tracer among the arrays.
    """
    if is_traced(*trees):
        raise DataError(
            "md.run cannot be differentiated, compiled by jax.jit or mapped by jax.vmap: it makes neighbour lists and "
            "writes files on the host. jp.md.steps(dynamics, state, n, neighbors) can, with respect to the parameters "
            "of the potential and of the ensemble, and to the positions, velocities and cell of the state: make the "
            "state (dynamics.init) and the list (jp.neighbors(structure, potential.cutoff, skin=1.0)) outside, and put "
            "the traced potential (dynamics.replace(potential=...)) or positions (state.replace(structure="
            "structure.moved(positions))) in"
        )
