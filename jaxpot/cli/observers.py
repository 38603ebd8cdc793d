"""Observers of simulations that commands offer: how they are made, what they write, and which are too large."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxpot import md, units
from jaxpot.cli.analyse import diffusion_lines, note_lines, write_curves
from jaxpot.cli.console import Console
from jaxpot.errors import DataError, ResourceError
from jaxpot.md.curves import LEAST


def observers_of(options: Namespace) -> dict[str, Any]:
    """The observers that `--observe` asks for, by name."""
    return {name: OBSERVERS[name](options) for name in dict.fromkeys(options.observe)}


def refuse_long(observers: Mapping[str, Any], steps: int, atoms: int) -> None:
    """Refuse observers whose rows would not fit into memory, before hours of steps.

    Args:
        atoms: of all replicas.

    Raises:
        ResourceError: rows of several GB.
    """
    for name, observer in observers.items():
        size = 0.0 if name == "rdf" else 24.0 * atoms * (steps // observer.every + 1)
        if size > _MOST_BYTES:
            flag = "--vdos-every" if name == "vdos" else "--every"
            raise ResourceError(
                f"--observe {name} would keep {size / 1e9:.1f} GB ({atoms} atoms, one look in {observer.every} steps) "
                f"of at most {_MOST_BYTES / 1e9:.0f} GB: make {flag} larger, or the run shorter"
            )


def observed(observers: Mapping[str, Any], folder: Path, console: Console) -> tuple[list[str], dict[str, Any]]:
    """Write tables and pictures of what was observed; returns their names, and numbers for the document."""
    curves, coefficients, notes = {}, {}, {}
    for name, observer in observers.items():
        if len(observer.rows) < _LEAST_LOOKS[name]:
            notes[name] = [f"{len(observer.rows)} looks are too few: at least {_LEAST_LOOKS[name]}"]
            continue
        curves[name] = getattr(observer, _CURVES[name])()
        if name == "msd":
            try:
                coefficients, said = observer.coefficients()
                notes |= {"diffusion": list(said)} if said else {}
            except DataError as error:
                notes["diffusion"] = [str(error)]
    for line in (*diffusion_lines(coefficients), *note_lines(notes)):
        console.text(line)
    names = write_curves(folder, curves, coefficients)
    if not observers:
        return names, {}
    shown = {
        name: {"D_cm2_per_s": d.coefficient / units.cm2_per_s, "D_cm2_per_s_sd": d.error / units.cm2_per_s}
        for name, d in coefficients.items()
    }
    return names, {"diffusion": shown or None, "notes": notes, "files": names}


OBSERVERS = {
    "rdf": lambda o: md.RadialDistribution(o.every, o.rdf_cutoff),
    "msd": lambda o: md.MeanSquareDisplacement(o.every),
    "vdos": lambda o: md.VelocityAutocorrelation(o.vdos_every or max(1, round(5.0 / o.time_step_fs))),
}
_CURVES = {"rdf": "distribution", "msd": "displacement", "vdos": "spectrum"}
_LEAST_LOOKS = {"rdf": 1, "msd": 2, "vdos": LEAST}
_MOST_BYTES = 4e9
