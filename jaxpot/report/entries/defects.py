"""Vacancies and surfaces on a card."""

from jaxpot import units
from jaxpot.report.defects import defects_of
from jaxpot.report.entries.record import Entry, Property
from jaxpot.report.rows import entry_row, row

_SECTION = "Defects (static, relaxed)"


def _compute(study):
    return defects_of(study.potential, study.crystal, study.notes)


def _energies(results):
    """Name -> `ExcessEnergy`: "vacancy", and the faces."""
    return ({"vacancy": results["vacancy"]} if "vacancy" in results else {}) | results.get("surfaces", {})


def _spreads(uncertain, results):
    energies = _energies(results)
    if not energies:
        return {}

    def at(potential, crystal):
        return {name: excess.at(potential, crystal) for name, excess in energies.items()}

    spread = uncertain.spread("vacancies and surfaces", at)
    if spread is None:
        return {}
    bars = {name: float(sd) for name, sd in spread.std.items()}
    return {
        "vacancy": bars.pop("vacancy", None),
        "surfaces": {name: sd / units.J_per_m2 for name, sd in bars.items()} or None,
    }


def _surfaces(results, study):
    if "surfaces" not in results:
        return None
    return {name: float(surface.energy) / units.J_per_m2 for name, surface in results["surfaces"].items()}


def _rows(document):
    vacancy, surfaces = document["vacancy_eV"], document["surface_J_per_m2"]
    if vacancy["value"] is not None:
        yield entry_row(_SECTION, "Vacancy formation energy", vacancy, 3, "eV")
    for face, value in (surfaces["value"] or {}).items():
        yield row(_SECTION, f"Surface energy ({face})", value, 3, "J/m²", (surfaces["sd"] or {}).get(face))


PROPERTY = Property(
    about="vacancies and surfaces",
    compute=_compute,
    entries=(
        Entry(
            "vacancy_eV", "eV",
            "static formation energy of a vacancy, atoms relaxed at fixed cell, images 12 A away or more; the lowest "
            "of the crystal's sites; null for compounds, where it depends on chemical potentials",
            value=lambda results, study: float(results["vacancy"].energy) if "vacancy" in results else None,
            deviation=lambda spreads, study: spreads.get("vacancy"),
        ),
        Entry(
            "surface_J_per_m2", "J/m^2",
            "static energies of relaxed surfaces without reconstructions, by Miller indices of the conventional cell",
            value=_surfaces,
            deviation=lambda spreads, study: spreads.get("surfaces"),
        ),
    ),
    rows=_rows,
    spreads=_spreads,
    structures=lambda results: [excess.structure for excess in _energies(results).values()],
    under_pressure=False,
)
