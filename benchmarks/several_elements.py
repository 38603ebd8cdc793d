"""Few frames of several elements: which recipe comes nearest, and in what time?

No public set of DFT data that the other benchmarks use has several elements. A universal potential labels frames here:
crystals in strained cells, with displaced atoms and, of alloys, elements in random places. Those of training and test
are drawn alike; each recipe is fitted with the folds that error bars ask for, as `jaxpot fit` does.

    python benchmarks/several_elements.py sevennet-0 MoNbTaW --recipes snap qsnap ace mtp    # or NiAl, MgO, SrTiO3

Prints a table: mean absolute errors on the test frames, what max_weights lowers, and the time of the fit.
"""

import argparse
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner
from jaxpot.fitting import Dataset, Frame

CRYSTALS = {
    "MoNbTaW": (bulk("W", "bcc", 3.22, cubic=True) * (2, 2, 2), ("Mo", "Nb", "Ta", "W")),
    "NiAl": (bulk("Ni", "fcc", 3.65, cubic=True) * (2, 2, 1), ("Ni", "Al")),
    "MgO": (bulk("MgO", "rocksalt", 4.21, cubic=True) * (2, 1, 1), None),
    "SrTiO3": (crystal(["Sr", "Ti", "O"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221,
                       cellpar=[3.9] * 3 + [90] * 3) * (2, 2, 1), None),
}
TRAINING, TEST = 70, 30  # frames
STRAIN, SHEAR = 0.03, 0.02
DISPLACEMENTS = 0.25, 0.6, 1.0  # of the largest


def frames(potential, name, largest, seed=0):
    """Training and test frames with labels; atoms are displaced by at most `largest`, A (standard deviation)."""
    rng, labelled = np.random.default_rng(seed), []
    base, elements = CRYSTALS[name]
    for _ in range(TRAINING + TEST):
        atoms = Atoms(base)
        if elements is not None:
            atoms.symbols[:] = rng.choice(elements, len(atoms))
        strain = STRAIN * rng.normal() * np.eye(3) + SHEAR * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
        atoms.positions += largest * rng.choice(DISPLACEMENTS) * rng.normal(size=(len(atoms), 3))
        structure = jp.Structure.of(atoms)
        label = jp.evaluate(potential, structure)
        labelled.append(Frame(structure, energy=float(label.energy), forces=np.asarray(label.forces)))
    return Dataset.of(labelled[:TRAINING]), Dataset.of(labelled[TRAINING:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="universal potential that labels the frames, a file or a name")
    parser.add_argument("crystal", choices=CRYSTALS)
    parser.add_argument("--recipes", nargs="+", default=["snap", "qsnap", "ace", "mtp"], help="names or files")
    parser.add_argument("--displacement", type=float, default=0.12, help="the largest, A; 0.2: some tests extrapolate")
    options = parser.parse_args()
    train, test = frames(jp.load(options.model), options.crystal, options.displacement)
    compile_sooner()  # programs that are as fast take longer than a few frames do; those of the labels do not
    print(f"{options.crystal}: {train}", flush=True)
    print("| recipe | energies, meV/atom | forces, eV/A | weights | fit, s | lowered |\n|---|---|---|---|---|---|")
    for recipe in options.recipes:
        start = time.perf_counter()
        fit = jp.fit(train, recipe, test=test, predictions=False, keep_folds=True)
        seconds, errors = time.perf_counter() - start, fit.test.errors()["all"]
        print(
            f"| {recipe} | {1e3 * errors['energy']['mae']:.1f} | {errors['forces']['mae']:.3f} | {sum(fit.sparse)} | "
            f"{seconds:.0f} | {'; '.join(fit.recipe.lowered)} |", flush=True,
        )


if __name__ == "__main__":
    main()
