"""Elastic constants on a card."""

import numpy as np

from jaxpot import units
from jaxpot.properties.elastic import elastic_constants
from jaxpot.report.elastic_plots import plot_elastic
from jaxpot.report.entries.record import Entry, Figure, Property
from jaxpot.report.rows import MISSING, Row, entry_row, row

_SECTION = "Elasticity (static, relaxed ions)"


def _compute(study):
    return {"elastic": elastic_constants(study.potential, study.crystal)}


def _bulk(results, study):
    if "elastic" in results:
        return float(results["elastic"].bulk_hill) / units.GPa
    return float(results["equation_of_state"].bulk) / units.GPa if "equation_of_state" in results else None


def _constants(results, study):
    if "elastic" not in results:
        return None
    result = results["elastic"]
    voigt = np.asarray(result.voigt) / units.GPa
    values = {name: float(value) / units.GPa for name, value in result.independent.items()}
    if result.laue_class[:2] in ("-3", "6/"):
        values["c66"] = float(result.standard.c66) / units.GPa  # not independent, but in every table
    values |= {name: float(getattr(result, name)) / units.GPa for name in ("bulk_hill", "shear_hill")}
    values["young_hill"] = float(result.young) / units.GPa
    return {name: float(value) for name, value in values.items()} | {"voigt": voigt.tolist()}


def _spreads(uncertain, results):
    if "elastic" not in results:
        return {}
    axes = results["elastic"].axes  # names stay with their axes when the crystal is strained
    names = [name for name in _constants(results, uncertain.study) if name != "voigt"]

    def constants(potential, crystal):
        result = elastic_constants(potential, crystal, axes=axes)
        named = {name: getattr(result.standard, "young" if name == "young_hill" else name) for name in names}
        return {name: value / units.GPa for name, value in (named | {"voigt": result.voigt}).items()}

    spread = uncertain.spread("elastic constants", constants)
    if spread is None:
        return {}
    bars = {name: np.asarray(sd).tolist() if name == "voigt" else float(sd) for name, sd in spread.std.items()}
    return {"elastic": bars, "voigt_slopes": np.asarray(spread.slopes["voigt"]) * units.GPa}


def _meta(results, spreads, study):
    """Axes of the named constants: rows X, Y, Z in the Cartesian axes of the file."""
    if "elastic" not in results:
        return {"elastic_axes": None}
    return {
        "elastic_axes": {
            "laue_class": results["elastic"].laue_class,
            "standard": "ANSI/IEEE Std 176-1987",
            "rotation": np.asarray(results["elastic"].rotation).tolist(),
        }
    }


def _rows(document):
    yield entry_row(_SECTION, "Bulk modulus", document["bulk_GPa"], 2, "GPa")
    elastic, bars = document["elastic_GPa"]["value"], document["elastic_GPa"]["sd"] or {}
    if elastic is None:
        yield Row(_SECTION, "Elastic constants", MISSING, "")
        return
    yield from _axes(document["meta"].get("elastic_axes"))
    for key, value in elastic.items():
        if key[0] == "c" and key[1:].isdigit():
            yield row(_SECTION, f"C{key[1:]}", value, 2, "GPa", bars.get(key))
    for key, name in (("shear_hill", "Shear modulus (Hill)"), ("young_hill", "Young's modulus (Hill)")):
        if key in elastic:
            yield row(_SECTION, name, elastic[key], 2, "GPa", bars.get(key))


def _axes(axes):
    """The Laue class, and the axes of the named constants where they are not those of the file."""
    if axes is None:
        return
    yield Row(_SECTION, "Laue class", axes["laue_class"], "")
    rotation = axes["rotation"]
    if all(abs(x - (i == j)) < 5e-5 for i, axis in enumerate(rotation) for j, x in enumerate(axis)):
        return
    for name, axis in zip("XYZ", rotation, strict=True):
        shown = ", ".join(f"{x:.4f}".replace("-0.0000", "0.0000") for x in axis)
        yield Row(_SECTION, f"IEEE axis {name} in those of the file", f"({shown})", "")


PROPERTY = Property(
    about="elastic constants",
    compute=_compute,
    entries=(
        Entry(
            "bulk_GPa", "GPa",
            "Hill average of the static elastic constants; exact for cubic crystals. That of meta.equation_of_state, "
            "where the cell keeps its shape, is their Voigt average",
            value=_bulk,
            deviation=lambda spreads, study: spreads["elastic"]["bulk_hill"] if "elastic" in spreads else None,
        ),
        Entry(
            "elastic_GPa", "GPa",
            "second derivatives of the energy by strain with relaxed ions; c11, c12, ...: those that the Laue class "
            "leaves independent (and c66 = (c11 - c12) / 2 of hexagonal and trigonal ones), in the axes of ANSI/IEEE "
            "Std 176-1987, whose rows in the axes of the file are meta.elastic_axes.rotation; voigt: all of them, "
            "order xx yy zz yz xz xy, in the axes of the file, those of meta.structure.cell_A",
            value=_constants,
            deviation=lambda spreads, study: spreads.get("elastic"),
        ),
    ),
    figures=(
        Figure(
            "elastic",
            lambda results, spreads: plot_elastic(results["elastic"], slopes=spreads.get("voigt_slopes")),
            "Young's modulus by direction, and the stiffness matrix; both static, with relaxed ions.",
        ),
    ),
    rows=_rows,
    meta=_meta,
    spreads=_spreads,
)
