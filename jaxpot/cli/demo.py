"""`jaxpot demo`: a GAP fitted to data drawn from a known potential, and the properties of both side by side."""

import os
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import cast

import numpy as np

from jaxpot import catalog, md, units
from jaxpot.cli.card import describe, meshes
from jaxpot.cli.console import Console, to_json
from jaxpot.cli.files import output_folder, write_text
from jaxpot.cli.memory import peak_memory
from jaxpot.cli.structure import start
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError
from jaxpot.fitting import Frame, draw_dataset, fit, read_recipe
from jaxpot.observables import evaluate, forces
from jaxpot.potentials.base import Potential
from jaxpot.report.card import property_card
from jaxpot.report.fit import fit_document, fit_html
from jaxpot.report.fit_html import error_table
from jaxpot.report.side_by_side import side_by_side
from jaxpot.uncertainty import calibrate, std

NAME = "demo"
HELP = "fit a GAP to data drawn from Stillinger-Weber silicon and compare their properties, in minutes"
EPILOG = """Frames are drawn from the Stillinger-Weber potential of silicon (the oracle), a GAP is fitted to them with
the recipe `gap-small` and the sigmas in it, and the property cards of both are computed. DIR/oracle and DIR/gap get
card.html (open it in a browser), card.json and the pictures; DIR gets the potential gap.xml, which every command takes,
gap.posterior, the same with what is uncertain of it, and the report of the fit, fit.html and fit.json. Beside the GAP's
numbers stand their standard deviations, and by how many of them each is off. In the end the GAP runs 5 ps at 300 K, and
the oracle says whether its forces stayed inside their bars.

examples:
  jaxpot demo
  jaxpot demo --out cards --json
"""

ORACLE = "sw-silicon"
CRYSTAL = "diamond:Si"
RECIPE = "gap-small"
FRAMES, HELD_OUT = 60, 12
# Small displacements weigh much: they are what elastic constants and phonons are made of.
DISTURBANCE = {"strain": 0.02, "displacements": (0.01, 0.03, 0.08, 0.15)}
# Labels of an oracle have no noise: cross-validation would follow them with ever smaller sigmas and larger weights,
# and sums of large weights lose the digits that relaxations and thermal expansions need.
CHOICE, JITTER = "fixed", 1e-8
SEED = 0
STEPS, LOOKS, KELVIN = 5000, 10, 300.0  # of 1 fs
INSIDE = 0.9  # share of force components within two standard deviations (95 % of a normal distribution)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="jaxpot-card", metavar="DIR", help="folder to write into (default: jaxpot-card)"
    )
    meshes(parser)


def run(options: Namespace, console: Console) -> None:
    root = output_folder(options.out)
    folders = {name: output_folder(root / name) for name in ("oracle", "gap")}
    oracle = cast(Potential, catalog.load(ORACLE))
    crystal = start(CRYSTAL, oracle, console)
    outcome, posterior, report = _fit(oracle, crystal, root, console)
    console.text(f"{error_table(report)}\n")
    about = {
        "oracle": describe(ORACLE, oracle),
        "gap": {"name": "gap.xml", "source": f"{FRAMES} frames drawn from {ORACLE}, recipe {RECIPE}"},
    }
    documents = {}
    for name, potential, bars in (("oracle", oracle, None), ("gap", outcome.potential, posterior)):
        card = property_card(
            potential,
            crystal.strained(0.01 * np.eye(3)),  # off the oracle's minimum: each finds its own
            "Silicon",
            progress=lambda text, name=name: console.progress(f"{name}: {text}"),
            model=about[name],
            mesh=options.mesh,
            dos_mesh=options.dos_mesh,
            points=options.points,
            posterior=bars,
        )
        console.progress(f"{name}: writing the card and its pictures")
        try:
            card.write(folders[name])
        except OSError as error:
            raise DataError(f"--out {folders[name]}: cannot be written: {error.strerror or error}") from error
        documents[name] = card.document()
    heads = {"oracle": "Stillinger-Weber", "gap": "GAP"}
    console.text(side_by_side(
        "Silicon: the oracle and the GAP fitted to it", {heads[name]: card for name, card in documents.items()},
        off=(heads["oracle"], heads["gap"]),
    ))
    simulated = _simulate(oracle, outcome.potential, posterior, crystal, console)
    console.text("\n" + simulated.pop("text"))
    console.text(
        f"\nWritten: {root}{os.sep}gap.xml, gap.posterior and the report fit.html; oracle{os.sep}card.html and "
        f"gap{os.sep}card.html"
    )
    console.result(documents | {"fit": report, "dynamics": simulated})


def _fit(oracle, crystal, root, console):
    """Fit the GAP and write it with its posterior and report; returns fit, posterior and the report's document."""
    cell = crystal.repeated((2, 2, 2))
    console.progress(f"drawing {FRAMES + HELD_OUT} frames of {len(cell)} atoms from {ORACLE}")
    train = with_free_atoms(draw_dataset(oracle, cell, FRAMES, SEED, **DISTURBANCE), oracle, crystal)
    test = draw_dataset(oracle, cell, HELD_OUT, SEED + 1, **DISTURBANCE)
    recipe = replace(read_recipe(RECIPE), choice=CHOICE)
    say = console.progress
    found = fit(train, recipe, test=test, seed=SEED, jitter=JITTER, progress=say, predictions=False, keep_folds=True)
    catalog.save(found.potential, root / "gap.xml")
    calibration = calibrate(found, train, say)
    posterior = calibration.apply(found.posterior)
    catalog.save(posterior, root / "gap.posterior")
    document = fit_document(
        found, summary=train.summary(), seed=SEED, peak_memory=peak_memory(), calibration=calibration
    )
    write_text(root / "fit.html", fit_html(found, document))
    write_text(root / "fit.json", to_json(document) + "\n")
    return found, posterior, document


def _simulate(oracle, gap, posterior, crystal, console):
    """Simulate 5 ps with the GAP and compare errors of its forces with their bars: a document and a text."""
    cell = crystal.repeated((3, 3, 3))
    console.progress(f"gap: {STEPS} steps of 1 fs at {KELVIN:g} K, {len(cell)} atoms")
    dynamics = md.VelocityRescaling(gap, 1.0 * units.fs, KELVIN, 100.0 * units.fs)
    state, thermo = dynamics.init(cell, key=SEED), md.Thermo(every=STEPS // LOOKS // 10)
    looks, start = _Looks(STEPS // LOOKS, oracle, posterior), float(dynamics.conserved(state))
    state = md.run(dynamics, state, STEPS, [thermo, looks], progress=console.progress).state
    off, bars = np.concatenate(looks.rows[1:], axis=1)
    share = float(np.mean(np.abs(off) < 2.0 * bars))
    figures = {
        "steps": STEPS, "temperature_K": float(thermo.table["temperature_K"].mean()),
        "conserved_change_eV_per_atom": (float(dynamics.conserved(state)) - start) / len(cell),
        "force_rmse_eV_per_A": float(np.sqrt(np.mean(off**2))), "force_std_eV_per_A": float(np.sqrt(np.mean(bars**2))),
        "within_two_sigma": share, "inside_its_bars": share >= INSIDE,
    }
    text = (
        f"{STEPS / 1000:g} ps with the GAP at {figures['temperature_K']:.0f} K: forces were off by "
        f"{figures['force_rmse_eV_per_A']:.4f} eV/A, their bars say {figures['force_std_eV_per_A']:.4f}; "
        f"{100.0 * share:.0f} % within two standard deviations: "
        f"{'it stayed inside its bars' if share >= INSIDE else 'it LEFT its bars'}.\nThe conserved quantity changed by "
        f"{1e6 * figures['conserved_change_eV_per_atom']:+.1f} ueV/atom."
    )
    return figures | {"text": text}


class _Looks(md.Observer):
    """Observer of errors of forces and of their bars: rows (2, 3 n), eV/A."""

    def __init__(self, every, oracle, posterior):
        super().__init__(every)
        self.oracle, self.posterior = oracle, posterior

    def row(self, dynamics, state):
        off = np.asarray(state.forces) - np.asarray(forces(self.oracle, state.structure))
        return np.stack([np.ravel(off), np.ravel(std(self.posterior, state.structure).epistemic.forces)])


def with_free_atoms(dataset: Dataset, oracle: Potential, crystal: Structure) -> Dataset:
    """One more frame, the crystal at twice its size: without it a GAP knows nothing of a free atom."""
    apart = crystal.strained(np.eye(3))
    found = evaluate(oracle, apart)
    frame = Frame(
        apart, energy=float(found.energy), forces=np.asarray(found.forces), stress=np.asarray(found.stress),
        config_type="free atoms",
    )
    return replace(dataset, frames=(*dataset.frames, frame))
