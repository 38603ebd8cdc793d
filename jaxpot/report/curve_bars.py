"""How uncertain the curves on a property card are: standard deviations along each of its pictures.

Each is computed as those of the numbers are (`uncertainty.propagate`), at some of the curve's points, and interpolated
between them: a path of 200 wave vectors has 1,200 frequencies, and each costs a reverse pass.
"""

import warnings
from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxpot.errors import ConvergenceError, JaxpotWarning
from jaxpot.observables import energy
from jaxpot.properties.gruneisen import gruneisen
from jaxpot.properties.modes import zero_modes
from jaxpot.properties.phonons import phonon_dos, phonons
from jaxpot.properties.relax import relax
from jaxpot.properties.thermal import thermal_expansion
from jaxpot.uncertainty.propagation import propagate

_ON_PATH, _GAMMAS = 40, 24  # points of the path at which deviations are computed
_EACH = 3  # one in so many frequencies of the density of states
THERMAL = ("alpha", "bulk", "heat_capacity_v", "heat_capacity_p", "gamma")
_WARM = (50.0, 100.0, 200.0, 450.0, 600.0)  # K, and room temperature


@dataclass(frozen=True)
class CurveDeviations:
    """Standard deviations of the curves of a card, in internal units; None where there is no curve.

    Attributes:
        bands: (nq, 3 n), of the frequencies along the path.
        gamma: indices (m,) on the path, and (m, 3 n) of the mode Grueneisen parameters there.
        dos: (k,), of the density of states.
        energies: (v,), of the energies above the minimum, at fixed volumes.
        voigt: (6, 6, R), derivatives of the stiffness by the posterior's independent standard normal numbers.
        thermal: name of a field of `ThermalExpansion` -> (t,).
    """

    bands: object = None
    gamma: object = None
    dos: object = None
    energies: object = None
    voigt: object = None
    thermal: object = None


def curve_deviations(posterior, crystal, results, room, mesh, dos_mesh, response, voigt, say):
    """`CurveDeviations` of the results of a card.

    Args:
        posterior: `Posterior`, widened to this crystal.
        crystal: the relaxed primitive cell.
        results: name -> result, those that the pictures show.
        room: K.
        mesh, dos_mesh: divisions of the reciprocal lattice, as on the card.
        response: what `shape_response` returns.
        voigt: (6, 6, R), see `CurveDeviations`, or None: the numbers of the card need them, too.
        say: called with a few words before each step.
    """
    def slopes(what, function, structure=crystal):
        say(f"error bars of curves: {what}")
        try:
            if structure is None:
                return propagate(posterior, function)
            return propagate(posterior, function, structure, response)
        except ConvergenceError as error:
            warnings.warn(f"no error bars of the {what}: {error}", JaxpotWarning, stacklevel=2)
            return None

    curves = {"voigt": voigt, "energies": _energies(posterior, crystal, results["equation_of_state"], slopes)}
    if "bands" in results:
        curves["bands"] = _bands(results["bands"], slopes)
    if "dos" in results:
        curves["dos"] = _dos(results["dos"], dos_mesh, slopes)
    if "gruneisen" in results:
        at = _spaced(results["gruneisen"].distances, _GAMMAS)
        q = np.asarray(results["gruneisen"].q)[at]
        spread = slopes("Grueneisen parameters", lambda p, x: gruneisen(p, x, q, differences=True).gamma)
        curves["gamma"] = None if spread is None else (at, np.asarray(spread.std))
    if "thermal" in results:
        curves["thermal"] = _thermal(results["thermal"], room, mesh, slopes)
    return CurveDeviations(**curves)


def _spaced(distances, count):
    """Indices of about `count` points of a path, the two sides of each of its jumps among them."""
    x = np.asarray(distances)
    jumps = np.flatnonzero(np.diff(x) <= 1e-9 * x[-1])
    even = np.searchsorted(x, np.linspace(x[0], x[-1], count))
    return np.unique(np.clip(np.concatenate([even, jumps, jumps + 1]), 0, len(x) - 1))


def _bands(bands, slopes):
    at = _spaced(bands.distances, _ON_PATH)
    q = np.asarray(bands.q)[at]
    spread = slopes("phonons", lambda p, x: phonons(p, x, q).frequencies)
    if spread is None:
        return None
    known = np.array(spread.std)
    for row, zeros in zip(known, zero_modes(q), strict=True):
        row[:zeros] = 0.0  # the acoustic sum rule holds whatever the parameters are
    order = np.arange(len(bands.distances))  # not distances: the two sides of a jump have the same
    return np.stack([np.interp(order, at, column) for column in known.T], axis=1)


def _dos(dos, mesh, slopes):
    frequencies = np.asarray(dos.frequencies)
    at = np.arange(0, len(frequencies), _EACH)
    density = partial(phonon_dos, mesh=(mesh,) * 3, frequencies=jnp.asarray(frequencies[at]), width=dos.width)
    spread = slopes("density of states", lambda p, x: density(p, x).density)
    return None if spread is None else np.interp(frequencies, frequencies[at], np.asarray(spread.std))


def _energies(posterior, crystal, result, slopes):
    """Of E(V) - E(V0): to first order V0 itself does not matter, E has its minimum there."""
    scales = (np.asarray(result.volumes) / float(crystal.volume)) ** (1.0 / 3.0) - 1.0
    states = [relax(posterior.potential, crystal.strained(s * np.eye(3))).structure for s in scales]

    def above(potential):
        return jnp.stack([energy(potential, state) for state in states]) - energy(potential, crystal)

    spread = slopes("energies", above, None)
    return None if spread is None else np.asarray(spread.std)


def _thermal(result, room, mesh, slopes):
    """At some of the temperatures, one call each: a reverse pass goes through all that its call has computed."""
    temperatures = np.asarray(result.temperatures)
    rows = {}
    for kelvin in sorted({t for t in (*_WARM, room) if t in temperatures}):
        expand = partial(thermal_expansion, temperatures=[kelvin], mesh=(mesh,) * 3, differences=True)
        spread = slopes(
            f"thermal properties at {kelvin:g} K",
            lambda p, x, expand=expand: jnp.stack([column[0] for column in _columns(expand(p, x))]),
        )
        if spread is not None:
            rows[kelvin] = np.asarray(spread.std)
    if not rows:
        return None
    known, table = np.array(list(rows)), np.stack(list(rows.values()))
    # Third law: at 0 K neither expansion nor heat capacity can be wrong.
    still = np.where([name in ("bulk", "gamma") for name in THERMAL], table[0], 0.0)
    if temperatures[0] == 0.0:
        known, table = np.concatenate([[0.0], known]), np.concatenate([still[None], table])
    inside = temperatures <= known[-1]
    return {
        name: np.where(inside, np.interp(temperatures, known, column), np.nan)
        for name, column in zip(THERMAL, table.T, strict=True)
    }


def _columns(result):
    return [getattr(result, name) for name in THERMAL]
