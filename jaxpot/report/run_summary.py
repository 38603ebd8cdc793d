"""Summary of a simulation: means in equilibrium, with standard errors, as a document and in words."""

from collections.abc import Mapping

import numpy as np

from jaxpot.md.averages import block_average, equilibrated_from

_QUANTITIES = {  # column of `Thermo.table` -> name, whether it is per atom, unit and digits of the text
    "temperature_K": ("temperature_K", False, "K", 1), "potential_eV": ("potential_eV_per_atom", True, "eV/atom", 6),
    "pressure_GPa": ("pressure_GPa", False, "GPa", 3), "volume_A3": ("volume_per_atom_A3", True, "A3/atom", 4),
}
_WORDS = {
    "temperature_K": "temperature", "potential_eV_per_atom": "potential energy", "pressure_GPa": "pressure",
    "volume_per_atom_A3": "volume",
}


def summary(table: Mapping[str, np.ndarray], atoms: int) -> dict[str, float | None]:
    """Means with standard errors of a `Thermo.table`, from where the run is in equilibrium.

    That is where potential energy, pressure and volume all are (`md.equilibrated_from`); of a run that is too short
    to tell, the means are of its second half, without errors.

    Args:
        table: column -> (rows,).
        atoms: their number.

    Returns:
        dict: of each quantity its mean, and its standard error under `NAME_sd`; `equilibrated_from_ps`; None for what
        is not known or has no meaning (a pressure without a volume).
    """
    rows, time = len(table["step"]), table["time_ps"]
    periodic = bool(np.isfinite(table["pressure_GPa"]).all())
    watched = ("potential_eV", "pressure_GPa", "volume_A3") if periodic else ("potential_eV",)
    starts = [start for start in (equilibrated_from(table[name]) for name in watched) if start is not None]
    settled = len(starts) == len(watched)
    first = max(starts) if settled else rows // 2
    document: dict[str, float | None] = {"steps": int(table["step"][-1])}
    for column, (name, per_atom, _, _) in _QUANTITIES.items():
        if not np.isfinite(table[column]).all() or (column == "volume_A3" and not periodic):
            document |= {name: None, f"{name}_sd": None}
            continue
        average = block_average(table[column] / (atoms if per_atom else 1), first)
        document |= {name: average.mean, f"{name}_sd": average.error if settled else None}
    nanoseconds, conserved = time[first:] / 1000.0, table["conserved_eV"][first:] / atoms
    document["drift_eV_per_atom_ns"] = float(np.polyfit(nanoseconds, conserved, 1)[0]) if len(nanoseconds) > 2 else 0.0
    document["equilibrated_from_ps"] = float(time[first]) if settled else None
    return document


def summary_text(document: Mapping[str, float | None]) -> str:
    """Summary in words, two lines."""
    parts = []
    for name, _, unit, digits in _QUANTITIES.values():
        mean, error = document[name], document[f"{name}_sd"]
        if mean is None or (name == "volume_per_atom_A3" and error == 0.0):
            continue
        bar = "" if error is None else f" ± {_two_digits(error, digits)}"
        parts.append(f"{_WORDS[name]} {mean:.{digits}f}{bar} {unit}")
    start = document["equilibrated_from_ps"]
    if start is None:
        said = "means of the second half: the run is too short to tell from where it is in equilibrium"
    elif any(document[f"{name}_sd"] is None and document[name] is not None for name, *_ in _QUANTITIES.values()):
        said = f"means from {start:.4g} ps on; too short for a standard error of each"
    else:
        said = f"means from {start:.4g} ps on, ± standard errors"
    return f"{', '.join(parts)}: {said}\nconserved quantity: {document['drift_eV_per_atom_ns']:+.2e} eV/atom/ns"


def _two_digits(error, digits):
    """An error with the digits of its value, and with more where it would be zero."""
    return f"{error:.{digits}f}" if error == 0.0 or error >= 10.0**-digits else f"{error:.1e}"
