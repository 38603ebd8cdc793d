"""Replicas of `jaxpot md`: each in a folder of its own, and exchanges between temperatures."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxpot import md
from jaxpot.cli.console import Console
from jaxpot.cli.files import keeping_last_state, output_folder, write_text
from jaxpot.cli.observers import observed, observers_of, refuse_long
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.md.dynamics import Dynamics
from jaxpot.report.run_summary import summary, summary_text


def are_replicas(options: Namespace) -> bool:
    """Whether the options ask for replicas.

    Raises:
        DataError: options that contradict each other.
    """
    ladder, every = options.temperatures, options.exchange_every
    if ladder is not None and options.replicas not in (None, len(ladder)):
        raise DataError(
            f"--replicas {options.replicas} and {len(ladder)} --temperatures: there is one replica at each "
            "temperature; leave --replicas out"
        )
    if every is None:
        return ladder is not None or options.replicas is not None
    if ladder is None:
        raise DataError("--exchange-every needs --temperatures, at least two: replicas exchange their temperatures")
    if options.ensemble == "nve":
        raise DataError("--exchange-every needs a thermostat, and --ensemble nve has none")
    if options.observe:
        raise DataError(
            f"--observe {' '.join(options.observe)} would mix the temperatures that a replica visits with "
            "--exchange-every: leave it out, or simulate --temperatures without exchanges"
        )
    return True


def simulate_replicas(
    options: Namespace, console: Console, structure: Structure, folder: Path, ensemble: Callable[[float], Dynamics]
) -> None:
    """Simulate replicas, write their files, and say what came out.

    Args:
        ensemble: function of a temperature.
    """
    temperatures = options.temperatures or [options.temperature] * (options.replicas or 1)
    number = len(temperatures)
    digits = max(3, len(str(number - 1)))
    watching = [observers_of(options) for _ in temperatures]
    refuse_long(watching[0], options.steps, number * len(structure))
    folders = [output_folder(folder / f"{k:0{digits}d}") for k in range(number)]
    kind = md.Trajectory if options.frames == "xyz" else md.NetCDFTrajectory
    tables = [md.Thermo(options.every, own / "thermo.txt") for own in folders]
    looking = [
        [table, *seen.values(), kind(own / f"frames.{options.frames}", options.every)]
        for table, seen, own in zip(tables, watching, folders, strict=True)
    ]
    seeds = [options.seed + k for k in range(number)]
    steps = f"{options.steps} steps of {options.time_step_fs:g} fs"
    console.progress(f"{number} replicas of {len(structure)} atoms, {steps}, {options.ensemble}")
    common: dict[str, Any] = {
        "observers": looking, "checkpoint": folder / "run.checkpoint", "key": seeds, "progress": console.progress,
    }
    with keeping_last_state(folder, options.time_step_fs):
        if options.exchange_every is None:
            ensembles = [ensemble(t) for t in temperatures]
            end: Any = md.run_many(ensembles, structure, options.steps, temperature=temperatures, **common)
        else:
            end = md.temper(
                ensemble(temperatures[0]), structure, options.steps, temperatures, options.exchange_every, **common
            )
    documents = []
    for k, (table, seen, own) in enumerate(zip(tables, watching, folders, strict=True)):
        document = summary(table.table, len(structure))
        console.text(f"Replica {k}, seed {seeds[k]}, {_place(options, temperatures[k])}:\n{summary_text(document)}")
        names, more = observed(seen, own, console)
        documents.append({
            "folder": str(own), "seed": seeds[k], "start_temperature_K": temperatures[k], **document, **more
        })
    whole: dict[str, Any] = {"replicas": documents, "steps_per_s": end.steps / max(end.seconds, 1e-9)}
    written = [f"{folders[0]} to {folders[-1].name}, each with thermo.txt, frames.{options.frames}", *names]
    if options.exchange_every is not None:
        write_text(folder / "exchanges.txt", _exchanges(end, options.exchange_every))
        whole["exchange"] = _summary(end, len(structure))
        console.text(_words(whole["exchange"]))
        written.append(str(folder / "exchanges.txt"))
    console.text(f"Written: {', '.join(written)}")
    console.result(whole)


def _place(options, temperature):
    return f"first at {temperature:g} K" if options.exchange_every else f"{temperature:g} K"


def _exchanges(end, every):
    """Table of attempts: step, the replica at each temperature afterwards, and the energies before."""
    ladder = [f"{t:g}K" for t in end.temperatures]
    lines = ["# step " + " ".join([f"replica_{t}" for t in ladder] + [f"energy_eV_{t}" for t in ladder])]
    first = int(end.states[0].step) // every - len(end.energies) + 1
    for k, (order, energies) in enumerate(zip(end.order[1:], end.energies, strict=True)):
        numbers = [f"{(first + k) * every}", *map(str, order.tolist()), *(f"{e:.10g}" for e in energies)]
        lines.append(" ".join(numbers))
    return "\n".join(lines) + "\n"


def _summary(end, atoms):
    """Acceptance, and mean energies of the second half, as a document."""
    late = end.energies[len(end.energies) // 2 :]
    acceptance = [None if np.isnan(share) else float(share) for share in end.acceptance]
    return {
        "temperatures_K": end.temperatures.tolist(), "attempts": len(end.energies), "acceptance": acceptance,
        "potential_eV_per_atom": (late.mean(0) / atoms).tolist() if len(late) else None,
        "replica_at_temperature": end.order[-1].tolist(),
    }


def _words(exchange):
    """One line for each temperature."""
    lines = []
    energies = exchange["potential_eV_per_atom"] or [None] * len(exchange["temperatures_K"])
    shares = [*exchange["acceptance"], None]
    for temperature, energy, share in zip(exchange["temperatures_K"], energies, shares, strict=True):
        mean = "" if energy is None else f": potential energy {energy:.6f} eV/atom in the second half"
        accepted = "" if share is None else f", {share:.0%} of exchanges with the next"
        lines.append(f"{temperature:g} K{mean}{accepted}")
    return "\n".join(lines)
