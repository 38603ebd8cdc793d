"""Constant energy and constant temperature: NVE, Langevin, stochastic velocity rescaling, Nose-Hoover chains."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.pytree import pytree
from jaxpot.md.dynamics import Dynamics, Quantity, draw, thermal_kinetic_energy, value_at
from jaxpot.md.state import State
from jaxpot.potentials.base import Potential
from jaxpot.typing import Array, Number
from jaxpot.units import kB


@pytree
class NVE(Dynamics):
    """Newton's equations by velocity Verlet.

    Args:
        potential: any.
        time_step: such as 1.0 * units.fs.

    References:
        W. C. Swope, H. C. Andersen, P. H. Berens, K. R. Wilson, J. Chem. Phys. 76, 637 (1982).
    """

    potential: Potential
    time_step: Number


@pytree
class Langevin(Dynamics):
    """Newton's equations with friction and noise, splitting BAOAB.

    dv = F/m dt - friction v dt + sqrt(2 friction kB T / m) dW

    The centre of mass takes no part, unless atoms are fixed: it keeps its velocity.

    Args:
        potential: any.
        time_step: such as 1.0 * units.fs.
        temperature: K, or a `Ramp`.
        friction: such as 0.01 / units.fs.

    References:
        B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34 (2013).
        G. Bussi, M. Parrinello, Phys. Rev. E 75, 056707 (2007) (the energy that is conserved).
    """

    potential: Potential
    time_step: Number
    temperature: Quantity
    friction: Number
    positive = ("temperature", "friction")

    def first(self, state: State) -> State:
        half = 0.5 * self.time_step
        state = state.kicked(half).drifted(half)
        state, noise = draw(state, state.velocities.shape)
        kept = jnp.exp(-self.friction * self.time_step)
        width = jnp.sqrt((1.0 - kept**2) * kB * value_at(self.temperature, state.step) / state.masses)
        velocities = jnp.where(state.free[:, None], kept * state.velocities + width * noise, 0.0)
        velocities = jnp.where(jnp.all(state.free), _recentred(velocities, state), velocities)
        after = state.replace(velocities=velocities)
        after = after.replace(exchanged=state.exchanged + after.kinetic_energy - state.kinetic_energy)
        return after.drifted(half)


def _recentred(velocities, state):
    """Velocities whose centre of mass moves as it did."""
    change = state.masses * (velocities - state.velocities)
    return velocities - jnp.sum(change, 0) / jnp.sum(state.masses)


@pytree
class VelocityRescaling(Dynamics):
    """Stochastic velocity rescaling (CSVR): all velocities times one number, so that K has its canonical distribution.

    dK = (K_0 - K) dt / tau + 2 sqrt(K K_0 / N_f) dW / sqrt(tau)

    Args:
        potential: any.
        time_step: such as 1.0 * units.fs.
        temperature: K, or a `Ramp`.
        time_constant: tau, such as 100 * units.fs.

    References:
        G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007), appendix.
    """

    potential: Potential
    time_step: Number
    temperature: Quantity
    time_constant: Number
    positive = ("temperature", "time_constant")

    def second(self, state: State) -> State:
        return rescaled(Dynamics.second(self, state), self.temperature, self.time_constant, self.time_step)


def rescaled(state: State, temperature: Any, time_constant: Any, time: Number) -> State:
    """The state after stochastic velocity rescaling for a time."""
    state, normal = draw(state, ())
    key, own = jax.random.split(jax.random.wrap_key_data(state.key))
    degrees = state.degrees_of_freedom
    # The sum of the squares of the other N_f - 1 normal numbers.
    others = 2.0 * jax.random.gamma(own, 0.5 * jnp.maximum(degrees - 1.0, 0.5), dtype=normal.dtype)
    now, target = state.kinetic_energy, thermal_kinetic_energy(state, value_at(temperature, state.step))
    kept = jnp.exp(-time / time_constant)
    wanted = (
        kept * now + target * (1.0 - kept) / degrees * (normal**2 + others)
        + 2.0 * normal * jnp.sqrt(kept * (1.0 - kept) * now * target / degrees)
    )
    factor = jnp.where(now > 0.0, jnp.sqrt(jnp.maximum(wanted, 0.0) / jnp.where(now > 0.0, now, 1.0)), 1.0)
    after = state.replace(velocities=factor * state.velocities, key=jax.random.key_data(key))
    return after.replace(exchanged=state.exchanged + after.kinetic_energy - now)


@pytree
class NoseHoover(Dynamics):
    """A Nose-Hoover chain: deterministic, canonical where the system itself is ergodic.

    Args:
        potential: any.
        time_step: such as 1.0 * units.fs.
        temperature: K, or a `Ramp`.
        time_constant: of the chain, such as 100 * units.fs: Q_1 = N_f kB T tau^2, the others kB T tau^2.

    References:
        G. J. Martyna, M. E. Tuckerman, D. J. Tobias, M. L. Klein, Mol. Phys. 87, 1117 (1996), section 4.
    """

    potential: Potential
    time_step: Number
    temperature: Quantity
    time_constant: Number
    positive = ("temperature", "time_constant")

    def start(self, state: State) -> dict[str, Array]:
        none = jnp.zeros(_CHAIN, state.velocities.dtype)
        return {"positions": none, "velocities": none}

    def first(self, state: State) -> State:
        return Dynamics.first(self, self._half(state))

    def second(self, state: State) -> State:
        return self._half(Dynamics.second(self, state))

    def conserved(self, state: State) -> Array:
        kt = kB * value_at(self.temperature, state.step)
        x, v = state.extra["positions"], state.extra["velocities"]
        weights = self._degrees(state)
        chain = 0.5 * jnp.sum(self._masses(state) * v * v) + kt * jnp.sum(weights * x)
        return state.energy + state.kinetic_energy + chain

    def _degrees(self, state):
        return jnp.ones(_CHAIN, state.velocities.dtype).at[0].set(state.degrees_of_freedom)

    def _masses(self, state):
        return self._degrees(state) * kB * value_at(self.temperature, state.step) * self.time_constant**2

    def _half(self, state):
        """The chain acts for half a step."""
        kt, masses = kB * value_at(self.temperature, state.step), self._masses(state)
        x, v, scale = state.extra["positions"], state.extra["velocities"], 1.0
        twice, degrees = 2.0 * state.kinetic_energy, state.degrees_of_freedom

        def force(k, v, scale):
            drive = twice * scale**2 - degrees * kt if k == 0 else masses[k - 1] * v[k - 1] ** 2 - kt
            return drive / masses[k]

        for weight in _SUZUKI:
            time = 0.5 * self.time_step * weight
            for k in reversed(range(_CHAIN)):
                v = _pulled(v, k, force(k, v, scale), time)
            scale = scale * jnp.exp(-v[0] * time)
            x = x + time * v
            for k in range(_CHAIN):
                v = _pulled(v, k, force(k, v, scale), time)
        return state.replace(velocities=scale * state.velocities, extra={"positions": x, "velocities": v})


def _pulled(v, k, force, time):
    """Velocity k of the chain after half of a time, slowed down by the next link."""
    slow = jnp.exp(-0.25 * time * v[k + 1]) if k + 1 < _CHAIN else 1.0
    return v.at[k].set((v[k] * slow + 0.5 * time * force) * slow)


_CHAIN = 3
_ROOT = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
_SUZUKI = (_ROOT, 1.0 - 2.0 * _ROOT, _ROOT)  # fourth order, of symmetric steps of second
