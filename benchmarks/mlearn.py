"""Does a recipe, the same for six elements, beat the potentials published with their data?

Fits the training sets of Zuo et al. (J. Phys. Chem. A 124, 731 (2020)) and gives mean absolute errors on the test sets
with 90 % bootstrap intervals over their 23 to 31 frames, beside those of the published files on the same frames.
Nothing is chosen by looking at the test sets.

    python benchmarks/mlearn.py [Si Mo ...] [--recipe gap]
    python benchmarks/mlearn.py [Si Mo ...] --recipe equivariant --devices 2

Trainings of networks divide their batches between `--devices`, parts of the processor.
"""

import argparse
import resource
import time

import jax

jax.config.update("jax_enable_x64", True)

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner

# meV/atom and eV/A of the published files on the test sets, evaluated with QUIP and motep.
GAP = {"Cu": (0.46, 0.0082), "Li": (0.49, 0.0105), "Mo": (2.32, 0.0963), "Si": (2.88, 0.0732), "Ge": (2.06, 0.0523)}
BEST = {
    "Ni": (0.48, 0.0140), "Cu": (0.41, 0.0069), "Li": (0.49, 0.0101), "Mo": (2.32, 0.0901), "Si": (2.31, 0.0560),
    "Ge": (1.79, 0.0465),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("elements", nargs="*", default=list(BEST))
    parser.add_argument("--recipe", default="gap")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--devices", type=int, default=1)
    options = parser.parse_args()
    compile_sooner()
    if options.devices > 1:
        jax.config.update("jax_num_cpu_devices", options.devices)
        jax.set_mesh(jax.make_mesh((options.devices,), ("atoms",)))
    for element in options.elements:
        train, test = (jp.datasets.mlearn(element, split) for split in ("train", "test"))
        start = time.perf_counter()
        progress = (lambda text: print(f"  {text}", flush=True)) if options.verbose else None
        found = jp.fit(train, options.recipe, test=test, progress=progress, predictions=False)
        errors = found.test.errors()["all"]
        energy, forces = errors["energy"], errors["forces"]
        low, high = (1e3 * value for value in energy["interval"])
        sigmas = ", ".join(f"{kind} {sigma:.3g}" for kind, sigma in found.sigmas.items())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{element}: {1e3 * energy['mae']:.2f} [{low:.2f}, {high:.2f}] meV/atom, {forces['mae']:.4f} "
            f"[{forces['interval'][0]:.4f}, {forces['interval'][1]:.4f}] eV/A; published GAP {GAP.get(element, '-')}, "
            f"best {BEST[element]}; sigmas {sigmas}; {time.perf_counter() - start:.0f} s, {peak:.1f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
