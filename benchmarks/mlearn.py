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

# meV/atom and eV/A of the published files on the test sets, evaluated with QUIP, motep, LAMMPS and n2p2; `jp.load`
# gives the same for SNAP and qSNAP. The GAP of Ni is not published whole.
PUBLISHED = {
    "MTP": {
        "Ni": (0.48, 0.0140), "Cu": (0.41, 0.0069), "Li": (0.49, 0.0101), "Mo": (2.94, 0.0901), "Si": (2.31, 0.0560),
        "Ge": (1.79, 0.0465),
    },
    "GAP": {
        "Cu": (0.46, 0.0082), "Li": (0.49, 0.0105), "Mo": (2.32, 0.0963), "Si": (2.88, 0.0732), "Ge": (2.06, 0.0523),
    },
    "NNP": {
        "Ni": (1.52, 0.0303), "Cu": (1.15, 0.0262), "Li": (0.75, 0.0168), "Mo": (3.65, 0.1250), "Si": (5.63, 0.1086),
        "Ge": (4.89, 0.0850),
    },
    "SNAP": {
        "Ni": (0.78, 0.0377), "Cu": (0.53, 0.0371), "Li": (1.03, 0.0277), "Mo": (5.48, 0.2065), "Si": (6.44, 0.1327),
        "Ge": (6.59, 0.1884),
    },
    "qSNAP": {
        "Ni": (0.78, 0.0308), "Cu": (0.56, 0.0241), "Li": (0.73, 0.0328), "Mo": (2.77, 0.1838), "Si": (3.81, 0.1157),
        "Ge": (6.45, 0.1330),
    },
}
PEERS = {"snap": ("SNAP",), "qsnap": ("qSNAP",), "mtp": ("MTP",)}  # of a recipe; of others all


def beside(element, recipe, energy, forces):
    """What is published of the kinds that a recipe is to be compared with, and whether it is better."""
    parts = []
    for kind in PEERS.get(recipe, PUBLISHED):
        if element in PUBLISHED[kind]:
            theirs = PUBLISHED[kind][element]
            words = ["better" if a < b else "worse" for a, b in zip((energy, forces), theirs, strict=True)]
            parts.append(f"{kind} {theirs[0]:.2f} ({words[0]}), {theirs[1]:.4f} ({words[1]})")
    return "; ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("elements", nargs="*", default=list(PUBLISHED["MTP"]))
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
        published = beside(element, options.recipe, 1e3 * energy["mae"], forces["mae"])
        low, high = (1e3 * value for value in energy["interval"])
        sigmas = ", ".join(f"{kind} {sigma:.3g}" for kind, sigma in found.sigmas.items())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{element}: {1e3 * energy['mae']:.2f} [{low:.2f}, {high:.2f}] meV/atom, {forces['mae']:.4f} "
            f"[{forces['interval'][0]:.4f}, {forces['interval'][1]:.4f}] eV/A; published {published}; "
            f"sigmas {sigmas}; {time.perf_counter() - start:.0f} s, {peak:.1f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
