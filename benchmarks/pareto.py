"""Accuracy against cost: which family errs least for the time that an atom takes?

Fits recipes to a training set of Zuo et al. (J. Phys. Chem. A 124, 731 (2020)), ACE with fewer and fewer components,
too, and puts them, and the published potentials if they are at hand, in one picture: mean absolute errors of the test
set against the time of energies, forces and stress of an atom, on one core, lists of neighbours not included.

    python benchmarks/pareto.py fit Si --out FOLDER [--models gap ace ...]       # what FOLDER has is not fitted again
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/pareto.py compare Si --out FOLDER [--published FOLDER]

`compare` evaluates everything in turns, round by round, takes medians, and writes Si-pareto.json and Si-pareto.png.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner
from jaxpot.data.predictions import predict
from jaxpot.report.style import BLUE, GREEN, ORANGE, PURPLE, SOFT, Picture, plain_log_axis, prepare

MODELS = ("gap-small", "gap", "gap-large", "snap", "qsnap", "mtp", "ace")
SIZES = (1000, 500, 250, 125, 60)  # components of smaller ACEs
PUBLISHED = {"GAP": "gap/gap.xml", "SNAP": "snap", "qSNAP": "qsnap", "MTP": "mtp/fitted.mtp", "NNP": "nnp"}
OPTIONS = {"NNP": {"units": "Bohr Hartree"}}  # which these files do not say
COLORS = {"gap": BLUE, "snap": GREEN, "qsnap": GREEN, "ace": ORANGE, "mtp": PURPLE}
ROUNDS, ATOMS = 7, 250


def fit(element, models, folder):
    """Fit recipes, save what they give, and what that errs by on the test set."""
    train, test = (jp.datasets.mlearn(element, split) for split in ("train", "test"))
    for name in models:
        if (folder / f"{element}-{name}.json").exists():
            continue
        start = time.perf_counter()
        whole = jp.fit(train, name, predictions=False)
        seconds = time.perf_counter() - start
        sizes = [count for count in SIZES if whole.path and count < min(whole.sparse[:1])]
        for label, fitted in [(name, whole), *((f"{name}-{count}", whole.with_components(count)) for count in sizes)]:
            jp.save(fitted.potential, folder / f"{element}-{label}.model")
            result = errors_of(fitted.potential, test) | {"fit_s": seconds, "weights": sum(fitted.sparse)}
            (folder / f"{element}-{label}.json").write_text(json.dumps(result))
            print(element, label, result, flush=True)


def errors_of(potential, test):
    """Mean absolute errors: meV/atom, eV/A."""
    table = predict(potential, test).errors()["all"]
    return {"energy_meV": 1e3 * table["energy"]["mae"], "forces_eV_A": table["forces"]["mae"]}


def published_potentials(element, folder):
    """Name -> potential of what is published."""
    for name, path in PUBLISHED.items():
        place = folder / element / "published" / path
        if "snap" in path:
            place = place / "SNAPotential.snapcoeff"
        if place.exists():
            yield name, jp.load(place, **({"species": (element,)} if name == "MTP" else OPTIONS.get(name, {})))


def compare(element, folder, published):
    """Errors and times of everything, as a list of dicts."""
    test = jp.datasets.mlearn(element, "test")
    rows = []
    for path in sorted(folder.glob(f"{element}-*.model")):
        name = path.stem.removeprefix(f"{element}-")
        rows.append({"name": name, "published": False} | json.loads(path.with_suffix(".json").read_text()))
        rows[-1]["potential"] = jp.load(path)
    if published is not None:
        for name, potential in published_potentials(element, published):
            rows.append({"name": name, "published": True, "potential": potential} | errors_of(potential, test))
    cell = max((frame.structure for frame in test), key=lambda structure: len(structure.numbers))
    structure = cell.repeated((2, 2, 1)) if len(cell.numbers) * 4 >= ATOMS else cell.repeated((2, 2, 2))
    calls = []
    for row in rows:
        potential = row.pop("potential")
        evaluate = partial(jax.jit(jp.evaluate), potential, structure, jp.neighbors(structure, potential.cutoff, 0.0))
        jax.block_until_ready(evaluate())
        calls.append(evaluate)
    times = np.empty((ROUNDS, len(rows)))
    for turn in range(ROUNDS):
        for k, call in enumerate(calls):
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[turn, k] = time.perf_counter() - start
    for row, seconds in zip(rows, np.median(times, axis=0), strict=True):
        row["us_per_atom"] = 1e6 * float(seconds) / len(structure.numbers)
    return sorted(rows, key=lambda row: row["us_per_atom"])


def front(rows, key):
    """Rows that no faster one beats."""
    least, chosen = np.inf, []
    for row in rows:  # by time
        if row[key] < least:
            least = row[key]
            chosen.append(row)
    return chosen


def draw(element, rows):
    """Errors against time, energies and forces, with the Pareto front."""
    figure = Picture(10.0, 4.2)
    columns = (("Energy", "energy_meV", "meV/atom"), ("Forces", "forces_eV_A", "eV/Å"))
    for axes, (name, key, unit) in zip(figure.subplots(1, 2), columns, strict=True):
        prepare(axes, f"{element}: {name.lower()}, test set", "µs per atom, one core", f"MAE ({unit})")
        line = front(rows, key)
        axes.plot([row["us_per_atom"] for row in line], [row[key] for row in line], color=SOFT, linewidth=1.0)
        for row in rows:
            color = SOFT if row["published"] else COLORS.get(row["name"].split("-")[0], SOFT)
            marker = "x" if row["published"] else "o"
            axes.plot(row["us_per_atom"], row[key], marker, color=color, markersize=5.0)
            side = {"xytext": (-5, 4), "ha": "right"} if row["published"] else {"xytext": (5, 4)}
            axes.annotate(
                row["name"], (row["us_per_atom"], row[key]), textcoords="offset points", fontsize=7, color=color, **side
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_log_axis(axes.xaxis)
        plain_log_axis(axes.yaxis)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("fit", "compare"))
    parser.add_argument("element")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--published", type=Path, help="folder with mlearn's elements, each with published/")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    compile_sooner()
    if options.what == "fit":
        return fit(options.element, options.models, options.out)
    rows = compare(options.element, options.out, options.published)
    (options.out / f"{options.element}-pareto.json").write_text(json.dumps(rows, indent=1))
    draw(options.element, rows).savefig(options.out / f"{options.element}-pareto.png")
    for row in rows:
        kind = "published" if row["published"] else "fitted here"
        print(
            f"{row['name']:<12} {kind:<12} {row['us_per_atom']:8.1f} us/atom  {row['energy_meV']:6.2f} meV/atom  "
            f"{row['forces_eV_A']:.4f} eV/A"
        )


if __name__ == "__main__":
    main()
