"""Thermal properties on a card: expansion, heat capacity, and their table over temperature."""

import warnings
from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxpot import units
from jaxpot.errors import ConvergenceError, JaxpotWarning
from jaxpot.properties.thermal import thermal_expansion
from jaxpot.report.entries.record import ROOM, Entry, Figure, Property
from jaxpot.report.plots import plot_thermal
from jaxpot.report.rows import MISSING, Row, entry_row, number, row
from jaxpot.uncertainty.propagation import goes_forwards

_COLUMNS = ("alpha", "bulk", "heat_capacity_v", "heat_capacity_p", "gamma")
_WARM = (50.0, 100.0, 200.0, 450.0, 600.0)  # K, at which deviations are computed, and at room temperature
_MOLAR = 8.31446261815324  # J/(mol K), the gas constant: kB per atom in the unit of the tables


def _compute(study):
    """At all temperatures, or at those below the first that the crystal does not survive."""
    expand = partial(
        thermal_expansion, study.potential, study.crystal, mesh=(study.mesh,) * 3, differences=True,
        pressure=study.pressure, way=study.way,
    )
    done = study.temperatures_done
    try:
        return {"thermal": expand(study.temperatures, callback=lambda k, _: done.append(k))}
    except ConvergenceError as error:
        if not done:
            raise
        message = f"no thermal properties above {study.temperatures[len(done) - 1]:g} K: {error}"
    result = expand(study.temperatures[: len(done)])
    warnings.warn(message, JaxpotWarning, stacklevel=2)
    return {"thermal": result}


def _progress(study):
    return f"thermal expansion: {len(study.temperatures_done)} of {len(study.temperatures)} temperatures"


def _spreads(uncertain, results):
    """At some of the temperatures.

    Forwards all in one call, where matrices serve several temperatures; backwards in one call each: a reverse pass goes
    through all that its call has computed.
    """
    if "thermal" not in results:
        return {}
    temperatures = np.asarray(results["thermal"].temperatures)
    known = sorted({t for t in (*_WARM, ROOM) if t in temperatures})
    together = goes_forwards(uncertain.posterior, len(known) * len(_COLUMNS))
    rows = {}
    for some in [known] if together and known else [[kelvin] for kelvin in known]:
        spread = _spread_at(some, uncertain)
        if spread is not None:
            rows |= dict(zip(some, np.asarray(spread.std), strict=True))
    if not rows:
        return {}
    table = _interpolated(temperatures, np.array(list(rows)), np.stack(list(rows.values())))
    if ROOM not in temperatures:
        return {"thermal": table}
    return {
        "thermal": table,
        "thermal_at_room": {name: float(column[temperatures == ROOM][0]) for name, column in table.items()},
    }


def _spread_at(temperatures, uncertain):
    """Columns at temperatures; the state at each follows the potential, whatever the crystal it is sought from."""
    study = uncertain.study

    def columns(potential):
        result = thermal_expansion(
            potential, study.crystal, temperatures, (study.mesh,) * 3, differences=True, pressure=study.pressure,
            way=study.way,
        )
        return jnp.stack([getattr(result, name) for name in _COLUMNS], axis=1)

    about = ", ".join(f"{kelvin:g}" for kelvin in temperatures)
    return uncertain.spread(f"thermal properties at {about} K", columns, relaxed=False)


def _interpolated(temperatures, known, table):
    """Columns of a table over all temperatures up to the last that is known; NaN beyond."""
    # Third law: at 0 K neither expansion nor heat capacity can be wrong.
    still = np.where([name in ("bulk", "gamma") for name in _COLUMNS], table[0], 0.0)
    if temperatures[0] == 0.0:
        known, table = np.concatenate([[0.0], known]), np.concatenate([still[None], table])
    inside = temperatures <= known[-1]
    return {
        name: np.where(inside, np.interp(temperatures, known, column), np.nan)
        for name, column in zip(_COLUMNS, table.T, strict=True)
    }


def thermal_table(results: Mapping) -> dict[str, list] | None:
    """The thermal properties as columns of plain numbers; None without any."""
    if "thermal" not in results:
        return None
    result, atoms = results["thermal"], len(results["crystal"])
    columns = {
        "temperature_K": result.temperatures,
        "volume_per_atom_A3": np.asarray(result.volumes) / atoms,
        "alpha_1_per_K": result.alpha,
        "bulk_GPa": np.asarray(result.bulk) / units.GPa,
        "heat_capacity_v_kB_per_atom": np.asarray(result.heat_capacity_v) / units.kB / atoms,
        "heat_capacity_p_kB_per_atom": np.asarray(result.heat_capacity_p) / units.kB / atoms,
        "gamma": result.gamma,
    }
    return {
        name: [float(x) if np.isfinite(x) else None for x in np.asarray(column)] for name, column in columns.items()
    }


def at_room(results: Mapping, name: str) -> float | None:
    """A column of `thermal_table` at 300 K; None where the crystal does not get that warm."""
    table = thermal_table(results)
    if table is None or ROOM not in table["temperature_K"]:
        return None
    return table[name][table["temperature_K"].index(ROOM)]


def _heat_capacity_deviation(spreads, study):
    deviation = spreads.get("thermal_at_room", {}).get("heat_capacity_p")
    return None if deviation is None else deviation / units.kB / len(study.crystal)


def _rows(document):
    section = "At 300 K (quasi-harmonic)"
    gamma = document["gamma"]["value"]
    thermodynamic = None if gamma is None else gamma["thermodynamic_300K"]
    alpha, capacity = document["alpha_1_per_K"]["value"], document["heat_capacity"]["value"]
    bar = (document["gamma"]["sd"] or {}).get("thermodynamic_300K")
    yield row(section, "Thermodynamic Grüneisen parameter γ", thermodynamic, 3, "", bar)
    bar = document["alpha_1_per_K"]["sd"]
    scaled, bar = (None if x is None else 1e6 * x for x in (alpha, bar))
    unit = "10⁻⁶/K" if alpha is not None else ""
    yield row(section, "Linear thermal expansion α", scaled, 3, unit, bar)
    molar = "" if capacity is None else f"kB/atom  ({capacity * _MOLAR:.2f} J/(mol K))"
    yield entry_row(section, "Heat capacity Cp", document["heat_capacity"], 3, molar)
    yield from _at_temperatures(document["meta"])


def _at_temperatures(meta):
    """Rows of the temperatures that were asked for."""
    table = meta.get("thermal") or {"temperature_K": []}
    asked = meta.get("settings", {}).get("temperatures_K", [])
    for kelvin in sorted(asked, key=lambda kelvin: (kelvin != ROOM, kelvin)):
        section = f"At {kelvin:g} K (quasi-harmonic)"
        if kelvin not in table["temperature_K"]:
            yield Row(section, "Thermal properties", MISSING, "")
            continue
        at = {name: column[table["temperature_K"].index(kelvin)] for name, column in table.items()}
        yield Row(section, "Volume per atom", number(at["volume_per_atom_A3"], 4), "Å³")
        yield Row(section, "Bulk modulus (isothermal)", number(at["bulk_GPa"], 2), "GPa")
        if kelvin != ROOM:  # these are shown already
            alpha = None if at["alpha_1_per_K"] is None else 1e6 * at["alpha_1_per_K"]
            yield Row(section, "Thermodynamic Grüneisen parameter γ", number(at["gamma"], 3), "")
            yield Row(section, "Linear thermal expansion α", number(alpha, 3), "10⁻⁶/K")
            yield Row(section, "Heat capacity Cp", number(at["heat_capacity_p_kB_per_atom"], 3), "kB/atom")


PROPERTY = Property(
    about="thermal expansion and heat capacity",
    compute=_compute,
    entries=(
        Entry(
            "alpha_1_per_K", "1/K",
            "linear thermal expansion (mean of the three axes) at 300 K, quasi-harmonic",
            value=lambda results, study: at_room(results, "alpha_1_per_K"),
            deviation=lambda spreads, study: spreads.get("thermal_at_room", {}).get("alpha"),
        ),
        Entry(
            "heat_capacity", "kB/atom",
            "at constant pressure and 300 K, quasi-harmonic, per atom",
            value=lambda results, study: at_room(results, "heat_capacity_p_kB_per_atom"),
            deviation=_heat_capacity_deviation,
        ),
    ),
    figures=(
        Figure(
            "thermal",
            lambda results, spreads: plot_thermal(
                results["thermal"], len(results["crystal"]), sd=spreads.get("thermal")
            ),
            "Quasi-harmonic properties against temperature.",
        ),
    ),
    rows=_rows,
    meta=lambda results, spreads, study: {"thermal": thermal_table(results)},
    spreads=_spreads,
    progress=_progress,
)
