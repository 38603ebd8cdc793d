"""Grueneisen parameters on a card: of modes, and the thermodynamic one."""

import numpy as np

from jaxpot.errors import ConvergenceError
from jaxpot.properties.gruneisen import GruneisenBands, gruneisen
from jaxpot.report.entries.paths import by_point, path_vectors, spaced, split
from jaxpot.report.entries.record import Entry, Figure, Property
from jaxpot.report.entries.thermal import at_room
from jaxpot.report.plots import plot_gruneisen
from jaxpot.report.rows import mode_rows

_SECTION = "Mode Grüneisen parameters, in the order of the frequencies"
_ON_PATH = 24  # points of the path at which deviations are computed


def _compute(study):
    result = gruneisen(study.potential, study.crystal, path_vectors(study), differences=True, way=study.way)
    if not np.isfinite(np.asarray(result.gamma)).any():
        raise ConvergenceError("no mode of this crystal has one")
    bands, at_points = split(GruneisenBands, study, result, "frequencies", "gamma")
    return {"gruneisen": bands, "modes": at_points}


def _spreads(uncertain, results):
    if "modes" not in results:
        return {}

    def parameters(about, q):
        spread = uncertain.spread(about, lambda p, x: gruneisen(p, x, q, differences=True).gamma)
        return None if spread is None else np.asarray(spread.std)

    at = spaced(results["gruneisen"].distances, _ON_PATH)
    along = parameters("Grueneisen parameters along the path", np.asarray(results["gruneisen"].q)[at])
    return {
        "modes": parameters("Grueneisen parameters", np.array(list(uncertain.study.special.values()))),
        "gamma": None if along is None else (at, along),
    }


def _value(results, study):
    if "modes" not in results:
        return None
    thermodynamic = at_room(results, "gamma")
    return {"modes": by_point(study, results["modes"]["gamma"]), "thermodynamic_300K": thermodynamic}


def _deviation(spreads, study):
    return {
        "modes": by_point(study, spreads["modes"]) if "modes" in spreads else None,
        "thermodynamic_300K": spreads.get("thermal_at_room", {}).get("gamma"),
    }


def _rows(document):
    parameters = document["gamma"]["value"]
    modes = None if parameters is None else parameters["modes"]
    bars = (document["gamma"]["sd"] or {}).get("modes")
    return mode_rows(_SECTION, modes, document["phonons_THz"]["value"], bars, "")


PROPERTY = Property(
    about="Grueneisen parameters",
    compute=_compute,
    entries=(
        Entry(
            "gamma", "1",
            "modes: -d ln(frequency) / d ln(volume), in the order of phonons_THz, null for the acoustic modes at "
            "Gamma, which have none; thermodynamic_300K: their average, weighted by heat capacity",
            value=_value,
            deviation=_deviation,
        ),
    ),
    figures=(
        Figure(
            "gruneisen",
            lambda results, spreads: plot_gruneisen(results["gruneisen"], sd=spreads.get("gamma")),
            "Mode Grüneisen parameters along the same path, coloured by frequency.",
        ),
    ),
    rows=_rows,
    spreads=_spreads,
)
