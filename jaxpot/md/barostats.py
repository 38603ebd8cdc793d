"""Constant pressure: stochastic cell rescaling, of the volume or of the whole cell."""

import jax.numpy as jnp

from jaxpot.core import linalg
from jaxpot.core.numbers import as_number
from jaxpot.core.precision import is_traced, product
from jaxpot.core.pytree import pytree, static
from jaxpot.md.dynamics import Dynamics, Quantity, Ramp, draw, value_at
from jaxpot.md.ensembles import rescaled
from jaxpot.md.state import State
from jaxpot.potentials.base import Potential
from jaxpot.typing import Array, Number
from jaxpot.units import kB


@pytree
class CellRescaling(Dynamics):
    """Stochastic cell rescaling with stochastic velocity rescaling: NPT with the right fluctuations.

    cell -> cell exp(e),  e = (b / 3 tau) (P - P_0) dt + sqrt(2 b kB T dt / (3 V tau)) W

    with P the instantaneous pressure tensor, b the compressibility and W symmetric: normal numbers of variance 1 on the
    diagonal, 1/2 beside it. Positions go with the cell, velocities against it. With `shape=False` only the volume
    changes, by the trace of e. Sampled is V^-2 exp(-(E + P_0 V) / kB T), the ensemble of all cells with rotations left
    out; of the volume alone V^N exp(-P_0 V / kB T) for an ideal gas.

    Args:
        potential: any.
        time_step: such as 1.0 * units.fs.
        temperature: K, or a `Ramp`.
        pressure: P_0, eV/A^3 (multiply by `units.GPa`), or a `Ramp`.
        time_constant: of the thermostat, such as 100 * units.fs.
        barostat_time: tau, such as 1000 * units.fs.
        compressibility: b, about that of the material, such as 0.01 / units.GPa; with tau it sets how fast cells answer
            and nothing else.
        shape: whether the shape of the cell changes, too.

    References:
        M. Bernetti, G. Bussi, J. Chem. Phys. 153, 114107 (2020).
        V. Del Tatto, P. Raiteri, M. Bernetti, G. Bussi, Appl. Sci. 12, 1139 (2022).
    """

    potential: Potential
    time_step: Number
    temperature: Quantity
    pressure: Quantity
    time_constant: Number
    barostat_time: Number
    compressibility: Number
    shape: bool = static(default=True)
    barostat = True
    positive = ("temperature", "time_constant", "barostat_time", "compressibility")

    def __post_init__(self):
        super().__post_init__()
        for part in (self.pressure.start, self.pressure.end) if isinstance(self.pressure, Ramp) else (self.pressure,):
            if not is_traced(part):
                as_number(part, "pressure", "a finite number, in eV/A^3")

    def start(self, state: State) -> dict[str, Array]:
        return {"strain": jnp.zeros((3, 3), state.velocities.dtype)}

    def first(self, state: State) -> State:
        half = 0.5 * self.time_step
        return self._rescaled(state.kicked(half).drifted(half)).drifted(half)

    def second(self, state: State) -> State:
        state = state.replace(exchanged=state.exchanged + _work(state, state.extra["strain"]))
        return rescaled(Dynamics.second(self, state), self.temperature, self.time_constant, self.time_step)

    def conserved(self, state: State) -> Array:
        work = value_at(self.pressure, state.step) * state.structure.volume
        return state.energy + state.kinetic_energy + work - state.exchanged

    def _rescaled(self, state):
        """Cell, positions and velocities after one step of the barostat."""
        pressure, kt = value_at(self.pressure, state.step), kB * value_at(self.temperature, state.step)
        volume, speed = state.structure.volume, self.compressibility * self.time_step / self.barostat_time
        state, noise = draw(state, (3, 3))
        unit = jnp.eye(3, dtype=noise.dtype)
        drive = speed / 3.0 * (state.pressure_tensor - pressure * unit)
        strain = drive + jnp.sqrt(2.0 * speed * kt / (3.0 * volume)) * 0.5 * (noise + noise.T)
        strain = 0.5 * (strain + strain.T)
        if not self.shape:
            strain = jnp.trace(strain) / 3.0 * unit
        values, vectors = linalg.eigh(strain)
        stretch, shrink = (product(vectors * jnp.exp(sign * values), vectors.T) for sign in (1.0, -1.0))
        structure = state.structure
        after = state.replace(
            structure=structure.moved(product(structure.positions, stretch), product(structure.cell, stretch)),
            velocities=product(state.velocities, shrink),
        )
        # What the strain does: to the kinetic energy exactly, to the potential energy by the mean of the stresses
        # before and after the step (`second`).
        work = after.kinetic_energy - state.kinetic_energy + _work(state, strain)
        work = work + pressure * (after.structure.volume - volume)
        return after.replace(exchanged=state.exchanged + work, extra={"strain": strain})


def _work(state, strain):
    """Half the energy of a strain at the present stress, () eV."""
    return 0.5 * state.structure.volume * jnp.sum(state.stress * strain)
