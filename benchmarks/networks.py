"""Does one training recipe, the same for six elements, beat the networks published with their data?

Trains on the training sets of Zuo et al. (J. Phys. Chem. A 124, 731 (2020)) with `jp.train` and gives mean absolute
errors on the test sets with 90 % bootstrap intervals over their 23 to 31 frames, beside those of the published n2p2
networks on the same frames. Nothing is chosen by looking at the test sets.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/networks.py [Si Mo ...] [--verbose]
"""

import argparse
import resource
import time

import jax

jax.config.update("jax_enable_x64", True)

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner

# meV/atom and eV/A of the published files on the test sets, evaluated with n2p2 2.3.0.
PUBLISHED = {
    "Ni": (1.52, 0.0303), "Cu": (1.15, 0.0262), "Li": (0.75, 0.0168), "Mo": (3.65, 0.1250), "Si": (5.63, 0.1086),
    "Ge": (4.89, 0.0850),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("elements", nargs="*", default=list(PUBLISHED))
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    compile_sooner()
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
