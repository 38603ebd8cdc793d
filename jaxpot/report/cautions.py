"""What a property card says of numbers that exist and are not what they seem."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxpot import units
from jaxpot.core.elements import atomic_number
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior

_RISE = 1e-3  # of the bulk modulus
_IMAGINARY = -0.05  # THz
_SHOWN = 0.05  # GPa, half of a digit
_ROUGH = 0.02  # of the bulk modulus
_ANIONS = frozenset(map(atomic_number, "C N O F P S Cl As Se Br Sb Te I".split()))  # of polar compounds


def cautions(
    results: Mapping[str, Any], posterior: Posterior | None = None, potential: Potential | None = None
) -> list[str]:
    """Sentences about the results of a card, a list of strings.

    Args:
        results: name -> result; of it, "phonons" (frequencies at special points), "elastic" (`ElasticConstants`),
            "equation_of_state" (`EquationOfState`) and "thermal" (`ThermalExpansion`), as far as they are there.
        posterior: of its error bars.
        potential: that of the card.
    """
    return [*_soft_modes(results.get("phonons")),
            *_unlike_bulk_moduli(results.get("elastic"), results.get("equation_of_state")),
            *_rising_bulk_modulus(results.get("thermal")),
            *_beyond_the_data(results, {} if posterior is None else posterior.ranges),
            *_without_field(results, potential),
            *_compared_with_nothing(posterior)]


def _soft_modes(phonons):
    """A saddle point, however well relaxed: its symmetry holds it there."""
    if phonons is None:
        return
    lowest = float(np.min(phonons["frequencies"])) / units.THz
    if lowest < _IMAGINARY:
        yield (
            f"a mode is soft, {lowest:.3g} THz at a special point: this crystal is a saddle point of the energy. "
            "jaxpot relax --cell --follow-soft-modes (jp.follow_soft_modes) displaces it along such modes and finds "
            "the phase below"
        )


def _unlike_bulk_moduli(elastic, curve):
    """The fit over volumes, and the second derivative at the minimum, are one number of potentials that are smooth."""
    if elastic is None or curve is None:
        return
    exact, fitted = float(elastic.bulk_voigt) / units.GPa, float(curve.bulk) / units.GPa
    if abs(exact - fitted) > _SHOWN:
        yield (
            f"the bulk modulus of the equation of state, {fitted:.2f} GPa, is a mean over the volumes of its points; "
            f"at the minimum itself, from the elastic constants, it is {exact:.2f} GPa: they differ where second "
            "derivatives of the potential change abruptly, as at neighbour shells near a cutoff or between points of "
            "tables"
            + ("; Grueneisen parameters and thermal expansion mean little there" if _is_rough(exact, fitted) else "")
        )


def _is_rough(exact, fitted):
    return abs(exact - fitted) > _ROUGH * abs(fitted)


def _rising_bulk_modulus(thermal):
    """Crystals become softer as they expand; a potential that says otherwise has been asked for too much."""
    if thermal is None:
        return
    temperatures, bulk = np.asarray(thermal.temperatures), np.asarray(thermal.bulk) / units.GPa
    high = int((bulk - np.minimum.accumulate(bulk)).argmax())
    low = int(bulk[: high + 1].argmin())
    if bulk[high] > bulk[low] * (1.0 + _RISE):
        yield (
            f"the bulk modulus rises with temperature, from {bulk[low]:.2f} GPa at {temperatures[low]:g} K to "
            f"{bulk[high]:.2f} GPa at {temperatures[high]:g} K, as of hardly any crystal: the potential may not hold "
            "at these volumes (one that was fitted: beyond its training data). Thermal expansion and Grueneisen "
            "parameters deserve no trust until that is looked at"
        )


def _beyond_the_data(results, ranges):
    """Volumes at which a fitted potential has seen no crystal."""
    volumes = ranges.get("volume_per_atom")
    if volumes is None:
        return
    low, high = (float(volume) for volume in volumes)
    atoms, thermal = len(results["crystal"]), results.get("thermal")
    states = {"relaxed crystal": np.array([float(results["crystal"].volume)])}
    if thermal is not None:
        states["crystal as it expands"] = np.asarray(thermal.volumes)
    for name, seen in states.items():
        seen = seen / atoms
        if seen.min() < low or seen.max() > high:
            yield (
                f"the {name} has {seen.min():.3f} to {seen.max():.3f} A^3 an atom, the training data {low:.3f} to "
                f"{high:.3f}: beyond them the potential extrapolates"
            )
            return


def _without_field(results, potential):
    """The macroscopic field of polar crystals is beyond any finite reach."""
    if potential is None or "phonons" not in results or "charges" in potential.needs or math.isinf(potential.reach):
        return
    elements = {int(number) for number in np.asarray(results["crystal"].numbers)}
    if len(elements) > 1 and elements & _ANIONS:
        yield (
            f"the potential sees {float(potential.reach):.3g} A far and has no charges: if this crystal insulates, its "
            "longitudinal optical modes near Gamma lack the macroscopic electric field (no LO-TO splitting)"
        )


def _compared_with_nothing(posterior):
    """Error bars of a fit that nothing was left out of."""
    if posterior is not None and posterior.sigmas and not posterior.calibration:
        yield (
            "the error bars are not calibrated: no error of frames left out of the fit was compared with them, and if "
            "it has seen few frames they may be several times too small (jp.calibrate; of networks jaxpot fit "
            "--keep-folds)"
        )
