"""Thermal conductivity from the fluctuations of the heat flux in equilibrium (Green and Kubo)."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import checked_neighbors
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.observers import Observer
from jaxpot.md.state import State
from jaxpot.observables.heat_flux import heat_flux
from jaxpot.units import kB

_SKIN = 2.0  # A; a search for neighbours takes twenty times as long as the flux of pairs
_LEAST = 20  # looks of a block
_SIGNIFICANT = 3.0  # standard errors
_FINER = 1.1  # ratio of the limits that are tried


@dataclass(frozen=True)
class Conductivity:
    """Result of `HeatFlux.conductivity`, in internal units.

    Divide conductivities by `units.W_per_m_K` and times by `units.ps`.

    Attributes:
        kappa: eV / (A K) per internal unit of time, a third of the trace of `tensor`.
        error: its standard error.
        tensor: (3, 3), symmetric.
        tensor_error: (3, 3), standard errors.
        longest: upper limit of the integral, a time.
        times: (m,), up to half the length of a block.
        correlation: (m,) <J(0) . J(t)>, (eV A per internal unit of time)^2.
        running: (m,) the conductivity with each of the times as upper limit.
        running_error: (m,) its standard error.
        temperature, volume: K and A^3, means over the run.
    """

    kappa: float
    error: float
    tensor: np.ndarray
    tensor_error: np.ndarray
    longest: float
    times: np.ndarray
    correlation: np.ndarray
    running: np.ndarray
    running_error: np.ndarray
    temperature: float
    volume: float


class HeatFlux(Observer):
    """The heat flux J (`jaxpot.heat_flux`), and the thermal conductivity that its fluctuations tell.

    The run should be one of constant energy, from a state in equilibrium: thermostats change energies without a flux.
    Nuclei are classical. For a liquid of several elements `conductivity` is not what is measured: there heat also
    comes with diffusion, and J depends on where the zero of each element's energy is.

    Args:
        every: steps; the integral is a sum over looks, and right where J has no frequencies above
            1 / (every time_step): a sixth of the period of the fastest vibration will do, such as 10 fs.
    """

    def begin(self, dynamics: Dynamics, state: State) -> None:
        super().begin(dynamics, state)
        if not all(state.structure.pbc):
            raise DataError(
                f"a conductivity needs a volume, periodic along all three axes; got pbc={state.structure.pbc}"
            )
        if dynamics.barostat:
            raise DataError("the heat flux is that of a constant cell: find the volume first, then use md.NVE")
        self.interval, self.listed = self.every * float(dynamics.time_step), None

    def row(self, dynamics: Dynamics, state: State) -> np.ndarray:
        """Convective flux (3), potential flux (3), temperature, volume."""
        if self.listed is None:
            self._search(dynamics.potential, state.structure)
        found = np.asarray(_row(dynamics.potential, state, self.listed))
        if np.isnan(found).any():  # the list is outgrown
            self._search(dynamics.potential, state.structure)
            found = np.asarray(_row(dynamics.potential, state, self.listed))
        return found

    def _search(self, potential, structure):
        """Make a new neighbour list with rows no shorter than before: programs are compiled for their length."""
        found = checked_neighbors(potential, structure, skin=_SKIN)
        if self.listed is not None:
            found = found.in_rows_of(max(found.capacity, self.listed.capacity))
        self.listed = jax.device_put(found)

    def mark(self) -> dict[str, Any]:
        # Sums depend in their last digits on the order of neighbours: the list is kept, not made anew.
        listed: dict[str, Any] = {} if self.listed is None else {"listed": self.listed}
        return super().mark() | {"interval": self.interval} | listed

    def go_on(self, mark: dict[str, Any]) -> None:
        super().go_on(mark)
        self.interval, self.listed = float(mark["interval"]), mark.get("listed")

    @property
    def table(self) -> dict[str, np.ndarray]:
        """Name -> array: "convective" and "potential" flux (looks, 3), "temperature" and "volume" (looks,)."""
        rows = np.array(self.rows, float).reshape(-1, 8)
        return {
            "convective": rows[:, :3], "potential": rows[:, 3:6], "temperature": rows[:, 6], "volume": rows[:, 7],
        }

    def conductivity(self, blocks: int = 5, longest: float | None = None) -> Conductivity:
        """The thermal conductivity by Green and Kubo, a third of the trace of

            kappa_ab = 1 / (V kB T^2) integral_0^longest <J_a(0) J_b(t)> dt,

        with the mean over all origins of the run, and its standard error, from the same of each block.

        The mean of J over the run is subtracted (its expectation is zero), which takes 2 t / (length of the run) of
        the integral up to t: the quotient is corrected for it. Without `longest`, the integral goes on until what
        follows is noise: up to twice the first t from which no integral, to any time up to 2 t, is three standard
        errors away from zero. (The first zero of the correlation itself would do for a simple liquid only: the flux
        of crystals with optical modes oscillates.) See whether `running` has a plateau at `longest`.

        Args:
            blocks: their number; each should be many times as long as the flux is correlated.
            longest: upper limit of the integral, such as 5 * units.ps; at most half a block.

        Returns:
            `Conductivity`.

        Raises:
            DataError: too few looks, or a `longest` beyond half a block.
            ConvergenceError: no `longest` was given, and no time up to half a block was found.

        References:
            M. S. Green, J. Chem. Phys. 22, 398 (1954); R. Kubo, J. Phys. Soc. Jpn. 12, 570 (1957).
        """
        blocks = as_whole(blocks, "blocks", 2, 1000)
        length = len(self.rows) // blocks
        if length < _LEAST:
            raise DataError(f"{len(self.rows)} looks are too few for {blocks} blocks: at least {_LEAST} each")
        table, lags = self.table, length // 2 + 1
        temperature, volume = float(table["temperature"].mean()), float(table["volume"].mean())
        flux = table["convective"] + table["potential"]
        flux = flux - flux.mean(0)
        kept = 1.0 - 2.0 * np.arange(lags) / len(flux)
        scale = (self.interval / (volume * kB * temperature**2) / kept)[:, None, None]
        correlation = _correlations(flux, lags)
        whole = scale * _integrals(correlation)
        cuts = np.split(flux[: blocks * length], blocks)
        parts = np.array([scale * _integrals(_correlations(part, lags)) for part in cuts])
        running, errors = _third(whole), _standard_error(_third(parts))
        end = _settled(_third(parts)) if longest is None else self._lag(longest, lags - 1)
        if end is None:
            raise ConvergenceError(
                f"no time within half a block, {(lags - 1) * self.interval:.4g} internal units, beyond which the heat "
                "flux is seen to be uncorrelated: simulate for longer, ask for fewer blocks, or give `longest`"
            )
        return Conductivity(
            float(running[end]), float(errors[end]), whole[end], _standard_error(parts[:, end]), end * self.interval,
            np.arange(lags) * self.interval, 3.0 * _third(correlation), running, errors, temperature, volume,
        )

    def _lag(self, longest, most):
        """A time as a number of looks."""
        found = round(as_positive(longest, "longest") / self.interval)
        if not 1 <= found <= most:
            raise DataError(
                f"longest: expected a time from {self.interval:.4g} (one look) to {most * self.interval:.4g} (half a "
                f"block), in internal units, got {longest:.4g}"
            )
        return found


@jax.jit
def _row(potential, state, neighbors):
    flux = heat_flux(potential, state.structure, state.velocities, neighbors)
    return jnp.concatenate([*flux, jnp.stack([state.temperature, state.structure.volume])])


def _correlations(flux, lags):
    """Mean over origins of J_a(t0) J_b(t0 + t), symmetric in a and b, (lags, 3, 3)."""
    looks = len(flux)
    transformed = np.fft.rfft(flux, n=2 * looks, axis=0)
    power = (transformed.conj()[:, :, None] * transformed[:, None, :]).real
    return np.fft.irfft(power, axis=0)[:lags] / np.arange(looks, looks - lags, -1)[:, None, None]


def _integrals(correlation):
    """Integrals from 0 to each lag, by trapezoids of width 1."""
    return np.cumsum(correlation, axis=0) - 0.5 * (correlation[0] + correlation)


def _third(tensors):
    return np.trace(tensors, axis1=-2, axis2=-1) / 3.0


def _standard_error(parts):
    """Standard error of the mean over the first axis."""
    return np.std(parts, axis=0, ddof=1) / np.sqrt(len(parts))


def _settled(running):
    """The lag at which integrals (blocks, lags) end: see `HeatFlux.conductivity`. None where there is no such lag."""
    lag = 1
    while 2 * lag < running.shape[1]:
        further = running[:, lag + 1 : 2 * lag + 1] - running[:, lag : lag + 1]
        if (np.abs(further.mean(0)) <= _SIGNIFICANT * _standard_error(further)).all():
            return 2 * lag
        lag = max(lag + 1, int(_FINER * lag))
    return None
