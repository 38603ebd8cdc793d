"""Phonons on a card: frequencies at special points, bands along the standard path, density of states."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxpot import units
from jaxpot.properties.modes import zero_modes
from jaxpot.properties.phonons import PhononBands, force_constants, phonon_dos, phonons
from jaxpot.report.entries.paths import by_point, path_vectors, spaced, split
from jaxpot.report.entries.record import Entry, Figure, Property
from jaxpot.report.plots import plot_bands, plot_dos
from jaxpot.report.rows import mode_rows

_ON_PATH = 40  # points of the path at which deviations are computed; a path of 200 has 1,200 frequencies or more
EACH = 3  # one in so many frequencies of the density of states


def _compute(study):
    result = phonons(study.potential, study.crystal, path_vectors(study), way=study.way)
    bands, at_points = split(PhononBands, study, result, "frequencies")
    constants = force_constants(study.potential, study.crystal, way=study.way)
    study.say("phonons: density of states")
    dos = phonon_dos(study.potential, study.crystal, mesh=(study.dos_mesh,) * 3, way=study.way)
    return {"force_constants": constants, "bands": bands, "phonons": at_points, "dos": dos}


def _spreads(uncertain, results):
    if "phonons" not in results:
        return {}
    return {
        "phonons": _of_frequencies(uncertain, "phonons", np.array(list(uncertain.study.special.values()))),
        "bands": _of_bands(uncertain, results["bands"]),
        "dos": _of_density(uncertain, results["dos"]),
    }


def _of_frequencies(uncertain, about, q):
    spread = uncertain.spread(about, lambda potential, crystal: phonons(potential, crystal, q).frequencies)
    if spread is None:
        return None
    bars = np.array(spread.std)
    for row, zeros in zip(bars, zero_modes(q), strict=True):
        row[:zeros] = 0.0  # the acoustic sum rule holds whatever the parameters are
    return bars


def _of_bands(uncertain, bands):
    at = spaced(bands.distances, _ON_PATH)
    bars = _of_frequencies(uncertain, "phonons along the path", np.asarray(bands.q)[at])
    if bars is None:
        return None
    order = np.arange(len(bands.distances))  # not distances: the two sides of a jump have the same
    return np.stack([np.interp(order, at, column) for column in bars.T], axis=1)


def _of_density(uncertain, dos):
    frequencies = np.asarray(dos.frequencies)
    at = np.arange(0, len(frequencies), EACH)
    mesh = (uncertain.study.dos_mesh,) * 3
    density = partial(phonon_dos, mesh=mesh, frequencies=jnp.asarray(frequencies[at]), width=dos.width)
    spread = uncertain.spread("density of states", lambda potential, crystal: density(potential, crystal).density)
    return None if spread is None else np.interp(frequencies, frequencies[at], np.asarray(spread.std))


def _frequencies(results, study):
    return by_point(study, results["phonons"]["frequencies"] / units.THz) if "phonons" in results else None


def _meta(results, spreads, study):
    return {"special_points": {name: [float(x) for x in q] for name, q in study.special.items()}}


def _rows(document):
    entry = document["phonons_THz"]
    return mode_rows("Phonon frequencies", entry["value"], entry["value"], entry["sd"], "THz")


PROPERTY = Property(
    about="phonons",
    compute=_compute,
    entries=(
        Entry(
            "phonons_THz", "THz",
            "frequencies at the special points of the Brillouin zone; imaginary ones are negative",
            value=_frequencies,
            deviation=lambda spreads, study: (
                by_point(study, spreads["phonons"] / units.THz) if "phonons" in spreads else None
            ),
        ),
    ),
    figures=(
        Figure(
            "bands",
            lambda results, spreads: plot_bands(
                results["bands"], results.get("dos"), sd=spreads.get("bands"), dos_sd=spreads.get("dos")
            ),
            "Phonon frequencies along the standard path of the Brillouin zone, and their density of states.",
        ),
        Figure("dos", lambda results, spreads: plot_dos(results["dos"], sd=spreads.get("dos"))),
    ),
    rows=_rows,
    meta=_meta,
    spreads=_spreads,
)
