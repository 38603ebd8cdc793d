"""Write one saved file of each kind, with the energies that must be read back from them.

The files beside this were written at commit 600c10c, the last at which a class was saved under the path of its module;
this script runs there. They stand for files that people keep, and are not to be written anew: a later version of the
format brings a folder of its own.

    JAX_ENABLE_X64=1 python tests/core/saved/write.py <folder>
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
from ase.build import bulk
from jaxpot.fitting.gap import Sigmas

import jaxpot as jp
from jaxpot.core.pytree import REGISTRY
from jaxpot.core.save import save_tree
from jaxpot.fitting import training
from jaxpot.md import host
from jaxpot.uncertainty.extrapolation import ActiveSet

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "contracts")]

from test_contract import MODELS, fcc, gaussian_process, small_eam  # noqa: E402

SOAP = {
    "descriptor": "soap", "cutoff": 3.6, "transition_width": 0.6, "n_max": 2, "l_max": 1, "atom_sigma": 0.5, "zeta": 3,
    "sparse_points": 6,
}
PAIR = {"descriptor": "distance_2b", "cutoff": 3.6, "theta": 0.5, "sparse_points": 4, "sparse_method": "uniform"}
GAP = jp.fitting.Recipe((SOAP, PAIR), Sigmas(0.0005, 0.02), choice="fixed", units="A", folds=2)
NETWORKS = jp.NetworkRecipe(
    cutoff=1.6, radial=2, angular=1, hidden=(3,), epochs=2, batch=3, sigmas=Sigmas(0.01, 0.1, 0.01), validation=0.25,
    rate=0.01, members=3,
)


class Interrupted(Exception):
    pass


def interrupt(*_):
    raise Interrupted


def rattled(structure):
    structure = structure.repeated((2, 1, 1)) if any(structure.pbc) else structure
    shifts = 0.1 * np.random.default_rng(5).normal(size=structure.positions.shape)
    return structure.moved(np.asarray(structure.positions) + shifts)


def described(structure):
    return {
        "positions": np.asarray(structure.positions).tolist(), "cell": np.asarray(structure.cell).tolist(),
        "numbers": np.asarray(structure.numbers).tolist(), "pbc": list(structure.pbc),
    }


def stopped_run(folder):
    """The checkpoint of a simulation."""
    dynamics = jp.md.Langevin(jp.potentials.StillingerWeber.silicon(), 1.0 * jp.units.fs, 300.0, 0.01 / jp.units.fs)

    host.Clock.tick = interrupt
    try:
        jp.md.run(dynamics, bulk("Si"), 50, (jp.md.MeanSquareDisplacement(5),), checkpoint=folder / "run.checkpoint")
    except Interrupted:
        return


def main(folder):
    folder.mkdir(exist_ok=True, parents=True)
    reference = {}

    def keep(name, potential, structure, saved=None):
        structure = rattled(jp.Structure.of(structure))
        jp.save(potential if saved is None else saved, folder / name)
        reference[name] = {"energy": float(jp.energy(potential, structure)), "structure": described(structure)}
        print(name, (folder / name).stat().st_size, reference[name]["energy"], flush=True)

    for name, (make, structure, *_) in MODELS.items():
        slug = re.sub(r"[^a-z]+", "-", name)
        keep(f"{slug}.model", make(), structure)
    silicon = MODELS["stillinger-weber"][1]
    keep("mixed-precision.model", jp.mixed_precision(small_eam("Cu")), fcc(3.6, "Cu"))
    keep("wrapped-twice.model", 2.0 * jp.mixed_precision(0.5 * small_eam("Cu")), fcc(3.6, "Cu"))
    kernels = jp.kernels.SquaredExponential(1.0) + jp.kernels.SquaredExponential(0.7) * jp.kernels.DotProduct(2)
    pair = jp.descriptors.Pair(3.6, 0.6, ("Si", "Si"))
    keep("kernels.model", gaussian_process(pair, kernels, "Si"), silicon)

    oracle = jp.potentials.StillingerWeber.silicon()
    data = jp.draw_dataset(oracle, jp.Structure.of(bulk("Si")), 6, 0, strain=0.01, displacements=0.05)
    fitted = jp.fit(data, GAP, predictions=False)
    keep("gap.posterior", fitted.posterior.potential, silicon, fitted.posterior)
    keep("variance.model", jp.VariancePotential.of(fitted.posterior), silicon)
    crystal = jp.Structure([[0, 0, 0], [1.36, 1.36, 1.36]], 2.72 * (1 - np.eye(3)), ["Si", "Si"])
    dense = jp.draw_dataset(oracle, crystal.repeated((2, 1, 1)), 8, displacements=(0.1,))
    trained = jp.train(dense, NETWORKS, predictions=False)
    keep("networks.posterior", trained.posterior.potential, crystal, trained.posterior)
    first = jp.potentials.Morse(0.5, 1.4, 2.5, 5.0, shift="smooth")
    copper = jp.Structure.of(bulk("Cu"))
    keep("formula.posterior", first, copper, jp.Posterior.of(first, {"depth": 0.01, "r0": 0.02}))

    others = {}

    def keep_tree(name, tree):
        save_tree(tree, folder / name)
        others[name] = type(tree).__name__
        print(name, (folder / name).stat().st_size, flush=True)

    committee = trained.committee
    structure = rattled(crystal)
    keep_tree("networks.committee", committee)
    energies = [float(jp.energy(committee[k], structure)) for k in range(len(committee))]
    reference["networks.committee"] = {"energies": energies, "structure": described(structure)}
    keep_tree("structure.tree", structure)
    keep_tree("evaluation.tree", jp.evaluate(oracle, structure))
    keep_tree("active.tree", ActiveSet.of(fitted.potential, [f.structure for f in data]))

    original = training.discard
    training.discard = interrupt
    try:
        jp.train(dense, NETWORKS, predictions=False, checkpoint=folder / "training.checkpoint")
    except Interrupted:
        training.discard = original
    others["training.checkpoint"] = "_Kept"
    stopped_run(folder)
    others["run.checkpoint"] = "Checkpoint"
    print({p.name: p.stat().st_size for p in folder.iterdir() if p.suffix == ".checkpoint"})
    text = {"written at": "600c10c", "energies": reference, "trees": others, "classes": sorted(name for name in REGISTRY if name.startswith("jaxpot."))}
    (folder / "reference.json").write_text(json.dumps(text, indent=1) + "\n")
    print(sum(p.stat().st_size for p in folder.iterdir()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
