"""Does one training recipe, the same for six elements, beat the networks published with their data?

Trains on the training sets of Zuo et al. (J. Phys. Chem. A 124, 731 (2020)) with `jp.train` and gives mean absolute
errors on the test sets with 90 % bootstrap intervals over their 23 to 31 frames, beside those of the published n2p2
networks on the same frames. Nothing is chosen by looking at the test sets: `--choose` compares recipes by the errors of
validation frames, a tenth of the training set, alone.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/networks.py [Si Mo ...] [--verbose]
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/networks.py [Si Mo ...] --choose [--epochs 200]
"""

import argparse
import dataclasses
import resource
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner

# meV/atom and eV/A of the published files on the test sets, evaluated with n2p2 2.3.0.
PUBLISHED = {
    "Ni": (1.52, 0.0303), "Cu": (1.15, 0.0262), "Li": (0.75, 0.0168), "Mo": (3.65, 0.1250), "Si": (5.63, 0.1086),
    "Ge": (4.89, 0.0850),
}
CHOICES = {  # what the recipe might be instead: (cutoff, radial, angular)
    "2.0 bonds": (2.0, 10, 4), "2.2 bonds": (2.2, 10, 4), "2.4 bonds": (2.4, 10, 4), "2.2 bonds, fewer": (2.2, 8, 3),
    "2.2 bonds, more": (2.2, 12, 5),
}


def choose(elements, epochs):
    """Errors of the validation frames at the epoch that is kept, in units of the recipe's sigmas."""
    usual, found = jp.read_recipe("behler-parrinello"), {}
    for element in elements:
        train = jp.datasets.mlearn(element, "train")
        for name, (cutoff, radial, angular) in CHOICES.items():
            recipe = dataclasses.replace(usual, cutoff=cutoff, radial=radial, angular=angular, epochs=epochs)
            start = time.perf_counter()
            trained = jp.train(train, recipe, predictions=False)
            _, _, energy, forces = next(row for row in trained.history if row[0] == trained.best)
            loss = (energy / recipe.sigmas.energy) ** 2 + (forces / recipe.sigmas.forces) ** 2
            found.setdefault(name, []).append(loss)
            print(f"{element}, {name}: {1e3 * energy:.2f} meV/atom, {forces:.4f} eV/A, loss {loss:.4f}, epoch "
                  f"{trained.best}, {time.perf_counter() - start:.0f} s", flush=True)
    for name, losses in found.items():
        print(f"{name}: geometric mean of the losses {np.exp(np.mean(np.log(losses))):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("elements", nargs="*", default=list(PUBLISHED))
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--epochs", type=int, default=200, help="of each training that --choose compares")
    options = parser.parse_args()
    compile_sooner()
    if options.choose:
        choose(options.elements, options.epochs)
        return
    for element in options.elements:
        train, test = (jp.datasets.mlearn(element, split) for split in ("train", "test"))
        start = time.perf_counter()
        progress = (lambda text: print(f"  {text}", flush=True)) if options.verbose else None
        found = jp.train(train, test=test, progress=progress, predictions=False)
        errors = found.test.errors()["all"]
        energy, forces = errors["energy"], errors["forces"]
        low, high = (1e3 * value for value in energy["interval"])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        visited = len(found.history) * train.n_atoms * 0.9 / found.seconds["training"]
        print(
            f"{element}: {1e3 * energy['mae']:.2f} [{low:.2f}, {high:.2f}] meV/atom, {forces['mae']:.4f} "
            f"[{forces['interval'][0]:.4f}, {forces['interval'][1]:.4f}] eV/A; published {PUBLISHED[element]}; "
            f"{len(found.history)} epochs, {1e-3 * visited:.0f} thousand atoms/s of {len(found.committee)} networks; "
            f"{time.perf_counter() - start:.0f} s, {peak:.1f} GB", flush=True,
        )


if __name__ == "__main__":
    main()
