"""`jaxpot evaluate`: energies, forces and stresses of the structures in a file."""

import warnings
from argparse import Namespace

import numpy as np

from jaxpot import io, units
from jaxpot.checks import check_distances, checked_neighbors
from jaxpot.cli.console import Console, to_json
from jaxpot.cli.files import output_file, write_text
from jaxpot.cli.model import load_posterior, model_argument
from jaxpot.cli.parser import CommandParser
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, FormatError, JaxpotError, JaxpotWarning
from jaxpot.observables import evaluate_many
from jaxpot.uncertainty import std_many
from jaxpot.uncertainty.familiarity import beyond, has_limit

NAME = "evaluate"
HELP = "energy, forces and stress of every structure in a file"
EPILOG = """FILE.json holds {"frames": [{"energy", "forces", "stress"}, ...]} in eV, eV/A and eV/A^3
(+1/V dE/dstrain, 3x3; null where a structure is not periodic along all axes), in full double
precision. Of a .posterior, which jaxpot fit writes, a frame has "sd", too: the standard deviation of each number,
and "unfamiliar": the atoms in surroundings that the fit has seen nothing like.
Where the structures carry energies, forces or stresses, the errors against them are printed.

examples:
  jaxpot evaluate sw-silicon frames.xyz --out frames.json
  jaxpot evaluate Cu_mishin1.eam.alloy trajectory.traj --out frames.json --json
"""
_BATCH = 200  # frames between two lines of progress
_NAMED = 3  # structures whose unfamiliar atoms are counted one by one


def arguments(parser: CommandParser) -> None:
    model_argument(parser)
    parser.add_argument("structures", metavar="STRUCTURES", help="any file that ASE reads")
    parser.add_argument("--out", required=True, metavar="FILE.json", help="where to write the results")


def run(options: Namespace, console: Console) -> None:
    out = output_file(options.out)
    potential, posterior = load_posterior(options)
    atoms = io.read_atoms(options.structures)
    frames = [_structure(options.structures, index, item) for index, item in enumerate(atoms)]
    _look_at_distances(options.structures, frames)
    results = []
    for start in range(0, len(frames), _BATCH):
        batch = frames[start : start + _BATCH]
        console.progress(f"structures {start + 1} to {start + len(batch)} of {len(frames)}")
        try:
            results += evaluate_many(potential, batch)
        except JaxpotError:
            _blame(potential, options.structures, batch, start)
            raise
    document = {"frames": [_plain(result) for result in results]}
    if posterior is not None:
        def say(done, count):
            if done % 10 == 0 or done == count:
                console.progress(f"error bars: {done} of {count} structures")

        for entry, bars in zip(document["frames"], std_many(posterior, frames, say), strict=True):
            entry["sd"] = _plain(bars.epistemic)
            if has_limit(posterior):
                entry["unfamiliar"] = beyond(posterior, bars).tolist()
    errors = _errors([io.labels(item) for item in atoms], results)
    write_text(out, to_json(document, indent=None) + "\n")
    console.text(_summary(results, errors))
    if posterior is not None and has_limit(posterior):
        console.text(_familiarity([entry["unfamiliar"] for entry in document["frames"]], results))
    console.text(f"Written: {out}")
    console.result(document | {"errors": errors, "file": str(out)}, indent=None)


def _structure(path, index, atoms):
    try:
        return Structure.of(atoms)
    except JaxpotError as error:
        raise FormatError(str(error), path, field=f"structure {index}") from error


def _look_at_distances(path, frames):
    """Refuse the first frame with atoms impossibly close; warn once of frames with atoms that are very close."""
    close = []
    for index, structure in enumerate(frames):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                check_distances(structure, refuse=True)
            except JaxpotError as error:
                raise DataError(f"{path}: structure {index}: {error}") from error
        close += [f"structure {index}: {warning.message}" for warning in said]
    if close:
        more = f" (the first of {len(close)} such structures)" if len(close) > 1 else ""
        warnings.warn(f"{path}: {close[0]}{more}", JaxpotWarning, stacklevel=2)


def _blame(potential, path, batch, start):
    """Name the structure that cannot be evaluated."""
    for index, structure in enumerate(batch, start):
        try:
            checked_neighbors(potential, structure)
        except JaxpotError as error:
            raise DataError(f"{path}: structure {index}: {error}") from error


def _plain(result):
    stress = np.asarray(result.stress)
    return {
        "energy": float(result.energy),
        "forces": np.asarray(result.forces).tolist(),
        "stress": stress.tolist() if np.isfinite(stress).all() else None,
    }


def _errors(labels, results):
    """MAE and RMSE against the labels that are there: energy per atom, force and stress components."""
    differences = {"energy_per_atom_eV": [], "forces_eV_per_A": [], "stress_GPa": []}
    counts = dict.fromkeys(differences, 0)

    def add(key, difference):
        differences[key].append(np.ravel(difference))
        counts[key] += 1

    for label, result in zip(labels, results, strict=True):
        if "energy" in label:
            add("energy_per_atom_eV", (float(result.energy) - label["energy"]) / max(len(result.forces), 1))
        if "forces" in label:
            add("forces_eV_per_A", np.asarray(result.forces) - label["forces"])
        if "stress" in label and np.isfinite(result.stress).all():
            add("stress_GPa", (np.asarray(result.stress) - label["stress"]) / units.GPa)
    errors = {}
    for key, parts in differences.items():
        values = np.concatenate(parts) if parts else np.zeros(0)
        if values.size:
            errors[key] = {
                "mae": float(np.abs(values).mean()),
                "rmse": float(np.sqrt((values**2).mean())),
                "frames": counts[key],
            }
    return errors


def _familiarity(unfamiliar, results):
    """Sentence on atoms in surroundings that the fit has seen nothing like; the structures with most of them."""
    count, atoms = sum(map(len, unfamiliar)), sum(len(result.forces) for result in results)
    if not count:
        return "all atoms are in surroundings like those of the training set"
    shares = [len(numbers) / max(len(result.forces), 1) for numbers, result in zip(unfamiliar, results, strict=True)]
    worst = [k for k in np.argsort(shares)[::-1][:_NAMED].tolist() if shares[k] > 0.0]
    named = ", ".join(f"structure {k} ({len(unfamiliar[k])} of {len(results[k].forces)})" for k in worst)
    return (
        f"{count} of {atoms} atoms are in unfamiliar surroundings, where site energies are less certain than those of "
        f"99 % of the atoms of the training set: most in {named}"
    )


def _summary(results, errors):
    atoms = sum(len(result.forces) for result in results)
    lines = [f"{len(results)} structures, {atoms} atoms"]
    if not errors:
        return lines[0]
    lines.append(f"errors against the labels in the file{'MAE':>12}{'RMSE':>12}   structures")
    for key, name, scale in (
        ("energy_per_atom_eV", "energy (meV/atom)", 1e3),
        ("forces_eV_per_A", "forces (meV/A)", 1e3),
        ("stress_GPa", "stress (GPa)", 1.0),
    ):
        if key in errors:
            found = errors[key]
            mae, rmse = scale * found["mae"], scale * found["rmse"]
            lines.append(f"  {name:<34}{mae:>12.4g}{rmse:>12.4g}{found['frames']:>13}")
    return "\n".join(lines)
