"""The shape of the crystal on a card: lattice constants, volume, symmetry."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.symmetry import space_group
from jaxpot.report.crystal import formula, lattice
from jaxpot.report.entries.record import Entry, Property
from jaxpot.report.rows import Row, entry_row, number, row

SECTION = "Crystal (static, T = 0)"


def _compute(study):
    return {"crystal": study.crystal}


def _spreads(uncertain, results):
    def shape(potential, crystal):
        return jax.tree.map(jnp.asarray, lattice(crystal) | {"volume": crystal.volume / len(crystal)})

    spread = uncertain.spread("lattice constants", shape)
    return {"shape": None if spread is None else {name: float(sd) for name, sd in spread.std.items()}}


def _meta(results, spreads, study):
    crystal = results["crystal"]
    group = space_group(crystal, 1e-4)
    bars = None
    if "shape" in spreads:
        lengths = {name: sd for name, sd in spreads["shape"].items() if name != "volume"}
        bars = {"volume_per_atom_A3": spreads["shape"]["volume"], "lattice": lengths}
    return {
        "structure": {
            "formula": formula(crystal),
            "atoms": len(crystal),
            "spacegroup": f"{group.international} ({group.number})",
            "lattice": lattice(crystal),
            "volume_per_atom_A3": float(crystal.volume) / len(crystal),
            "cell_A": np.asarray(crystal.cell).tolist(),
            "fractional": np.asarray(crystal.fractional).tolist(),
            "symbols": crystal.symbols,
            "sd": bars,
        }
    }


def _rows(document):
    structure, pressure = document["meta"]["structure"], document["meta"].get("settings", {}).get("pressure_GPa")
    if pressure:
        yield Row(SECTION, "Pressure", number(pressure, 3), "GPa")
    yield entry_row(SECTION, "Lattice constant a", document["a0_A"], 4, "Å")
    lengths, bars = structure["lattice"], structure.get("sd") or {}
    sides = bars.get("lattice", {})
    for key in ("b", "c"):
        if abs(lengths[key] - lengths["a"]) > 1e-6 * lengths["a"]:
            yield row(SECTION, f"Lattice constant {key}", lengths[key], 4, "Å", sides.get(key))
    for key, name in (("alpha", "α"), ("beta", "β"), ("gamma", "γ")):
        if abs(lengths[key] - 90.0) > 1e-4 and abs(lengths[key] - 120.0) > 1e-4:
            yield row(SECTION, f"Lattice angle {name}", lengths[key], 2, "°", sides.get(key))
    volume, bar = structure["volume_per_atom_A3"], bars.get("volume_per_atom_A3")
    yield row(SECTION, "Volume per atom", volume, 4, "Å³", bar)


PROPERTY = Property(
    about="shape of the crystal",
    compute=_compute,
    entries=(
        Entry(
            "a0_A", "A",
            "first axis of the conventional cell at the minimum of the energy, without zero-point motion",
            value=lambda results, study: lattice(results["crystal"])["a"],
            deviation=lambda spreads, study: spreads["shape"]["a"] if "shape" in spreads else None,
        ),
    ),
    rows=_rows,
    meta=_meta,
    spreads=_spreads,
)
