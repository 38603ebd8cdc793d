"""How many atoms a second does training a network visit, beside apax and InstaDeep's mlip?

mlearn's training set of one element, less the tenth that `jp.train` validates with: everybody has these frames, 8 in a
batch, the cutoff of our recipe (2.2 bond lengths), energies and forces in the loss, single precision; without
validation and checkpoints, on CPUs (the peers are at home on GPUs). Only speed is compared: these are different models,
and what each has learnt after as many epochs is another question.
One process each, and a round of each in turn, begun with an epoch that does not count: caches are warm again, and
nothing is used that was prepared while others had the core. On one core seconds are those of the process (what others
take of the core does not count), on more the clock's. Medians over rounds; ratios are of the same round, to as many
networks of ours. All together take 12 GB.

jaxpot is `jp.train` with its own recipe, with one network and with four at a time: 34 symmetry functions, layers of 32
and 32. Nothing in these functions is trained, so they and their derivatives are computed before the first epoch; the
peers compute theirs in every step. That is why set-up (imports, reading, descriptors, compiling) is told as well, and
"500 epochs" are set-up and 500 epochs.

apax is its `train_step` and its data set in the loop of its `fit`. The GMNN has its default descriptor (360 features of
5 radial functions, which are trained) and layers of 32 and 32; also one with the 50 features of the first four of eight
contractions, so that the network is nearer to ours in size. Batches are padded one by one ("pbp"), faster here than its
cached data set, by a thread instead of a process, whose seconds would not be counted. "full" are four networks at a
time, "shallow" four last layers of one, with the likelihood that this asks for. Distances and sums of energies are in
double precision: that is no choice.

mlip is its `TrainingLoop`, prefetching where there is a core for it. All its models pass messages: one layer of MACE,
which sees as far as we do, and two of NequIP and ViSNet, each made so small that it has about the parameters of one of
our networks. They are likely to be used larger, which takes longer. Parameters are those of one element (apax keeps
tables for 118).

The peers pin other versions, so each has an environment of its own:

    python -m venv apax && apax/bin/pip install apax==0.14.0
    python -m venv mlip && mlip/bin/pip install mlip==0.2.5
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/network_peers.py --apax apax/bin/python --mlip mlip/bin/python
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH, HIDDEN, WHOLE = 8, (32, 32), 500
ENDLESS = 10**6  # epochs: more than are asked for
WARM = 2  # epochs before the first round
MLIP = {
    "Mace": {
        "num_layers": 1, "num_channels": 16, "l_max": 2, "radial_mlp_hidden": [8], "readout_irreps": ["8x0e", "0e"],
    },
    "Nequip": {"num_layers": 2, "target_irreps": "8x0e + 8x1o + 4x2e", "l_max": 2, "radial_mlp_hidden": [8]},
    "Visnet": {"num_layers": 2, "num_channels": 8, "num_heads": 2, "num_rbf": 8},
}
# name -> program, model, what it is compared with
RUNS = {
    "jaxpot": ("jaxpot", {"members": 1}, None),
    "jaxpot, 4 networks": ("jaxpot", {"members": 4}, None),
    "apax": ("apax", {}, "jaxpot"),
    "apax, 50 features": ("apax", {"n_contr": 4}, "jaxpot"),
    "apax, 4 full": ("apax", {"ensemble": {"kind": "full", "n_members": 4}}, "jaxpot, 4 networks"),
    "apax, 4 shallow": ("apax", {"ensemble": {"kind": "shallow", "n_members": 4}}, "jaxpot, 4 networks"),
} | {f"mlip, {kind}": ("mlip", {"kind": kind}, "jaxpot") for kind in MLIP}


def cores():
    return len(os.sched_getaffinity(0))


class Epochs:
    """In a worker: waits until epochs are asked for, and says how long they took."""

    def __init__(self, started):
        self.started, self.facts, self.left = started, {}, 0

    def now(self):
        return time.process_time() if cores() == 1 else time.time() - self.started

    def begin(self):
        if self.left == 0:
            asked = sys.stdin.readline()
            if not asked:
                os._exit(0)  # threads of the peers would keep the process
            self.left, self.taken = int(asked), []
        self.begun = self.now()

    def end(self):
        self.taken.append(self.now() - self.begun)
        self.left -= 1
        if self.left == 0:
            print(json.dumps({"epochs": self.taken, "total": self.now(), **self.facts}), flush=True)


def recipe_and_data(element):
    import jax

    jax.config.update("jax_enable_x64", True)  # training is in single precision all the same

    import jaxpot as jp
    from jaxpot.fitting import read_recipe

    return read_recipe("behler-parrinello"), jp.datasets.mlearn(element, "train")


def train_jaxpot(job, epochs):
    from dataclasses import replace

    import jax

    from jaxpot.fitting.networks import train as training

    recipe, dataset = recipe_and_data(job["element"])
    begun = epochs.now()

    class Timed(training.Descent):
        """Validation, which comes between the epochs, is left out."""

        def __init__(self, recipe, networks, *others):
            parameters = sum(a.size for a in jax.tree.leaves(networks)) // recipe.members
            epochs.facts.update(parameters=parameters, descriptors=epochs.now() - begun)
            super().__init__(recipe, networks, *others)
            epochs.facts["atoms"] = sum(len(dataset[k]) for batch in self.names for k in batch)
            epoch_of, errors_of = self.epoch_of, self.errors_of

            def epoch(*given):
                found = jax.block_until_ready(epoch_of(*given))
                epochs.end()
                return found

            def errors(*given):
                found = jax.block_until_ready(errors_of(*given))
                epochs.begin()
                return found

            self.epoch_of, self.errors_of = epoch, errors

        def go(self):
            epochs.begin()
            return super().go()

    training.Descent = Timed
    recipe = replace(recipe, hidden=HIDDEN, batch=BATCH, epochs=ENDLESS, patience=ENDLESS, **job["model"])
    training.train(dataset, recipe, predictions=False)


def train_apax(job, epochs):
    from concurrent.futures import ThreadPoolExecutor

    import apax.data.input_pipeline as input_pipeline
    import apax.train.run as run
    import jax
    import jax.numpy as jnp
    from apax.config import parse_config
    from apax.train.trainer import make_step_fns

    input_pipeline.ProcessPoolExecutor = ThreadPoolExecutor
    ensemble = job["model"].get("ensemble", {"kind": "none"})
    loss = "nll" if ensemble["kind"] == "shallow" else "mse"
    config = parse_config({
        "n_epochs": ENDLESS,
        "data": {
            "directory": job["folder"], "experiment": "apax", "batch_size": BATCH, "train_data_path": job["data"],
            "val_data_path": job["data"],
            "dataset": {"processing": "pbp", "num_workers": 1, "atom_padding": 8, "nl_padding": 200},
        },
        "model": {
            "name": "gmnn", "basis": {"name": "bessel", "r_max": job["cutoff"]}, "nn": list(HIDDEN),
            "scale_shift_dtype": "fp32", **job["model"],
        },
        "loss": [{"name": "energy", "loss_type": loss}, {"name": "forces", "loss_type": loss, "weight": 4.0}],
    })
    data, _, found = run.initialize_datasets(config)
    sample, box = data.init_input()
    model = config.model.get_builder()(config.model.model_dump()).build_energy_derivative_model(
        scale=found.elemental_scale, shift=found.elemental_shift, apply_mask=True, init_box=box
    )
    networks = ensemble["n_members"] if ensemble["kind"] == "full" else 1
    weights, _ = run.create_params(model, jax.random.PRNGKey(config.seed), sample, networks)
    steps = data.steps_per_epoch()
    optimiser = run.get_opt(weights, config.n_epochs, steps, **config.optimizer.model_dump())
    state = run.create_train_state(jax.vmap(model.apply, in_axes=(None, 0, 0, 0, 0, 0)), weights, optimiser)
    metrics = run.initialize_metrics(config.metrics)
    step, _ = make_step_fns(run.initialize_loss_fn(config.loss), metrics, state.apply_fn, is_ensemble=networks > 1)
    parameters = sum(math.prod(n for n in a.shape if n != 119) for a in jax.tree.leaves(weights)) // networks
    # What does not fill a batch is left out.
    epochs.facts.update(parameters=parameters, atoms=job["atoms"] * steps * BATCH / data.n_data)
    batches = data.shuffle_and_batch(None)
    while True:
        epochs.begin()
        total, measured = 0.0, metrics.empty()
        for _ in range(steps):
            (state, measured), value = step((state, measured), next(batches))
            total += jnp.mean(value)
        float(total)
        epochs.end()


def train_mlip(job, epochs):
    import jax
    from mlip import models
    from mlip.data import ExtxyzReader, GraphDatasetBuilder
    from mlip.models.loss import MSELoss
    from mlip.training import TrainingIOHandler, TrainingLoop, get_default_mlip_optimizer

    class Timed(TrainingLoop):
        def _run_training_epoch(self):
            epochs.begin()
            super()._run_training_epoch()
            epochs.end()

        def _run_evaluation(self):
            pass

    config = GraphDatasetBuilder.Config(graph_cutoff_angstrom=job["cutoff"], batch_size=BATCH)
    builder = GraphDatasetBuilder({"train": ExtxyzReader(job["data"])}, config)
    data = builder.get_datasets(prefetch=cores() > 1)["train"]
    kind = job["model"]["kind"]
    network = getattr(models, kind)
    field = models.ForceField.from_mlip_network(network(network.Config(**MLIP[kind]), builder.dataset_info))
    parameters = sum(a.size for a in jax.tree.leaves(field.params))
    epochs.facts.update(parameters=parameters, atoms=data.number_of_nodes())
    settings = TrainingLoop.Config(num_epochs=ENDLESS, run_eval_at_start=False)
    Timed(data, data, field, MSELoss(), get_default_mlip_optimizer(), settings, TrainingIOHandler()).run()


TRAININGS = {"jaxpot": train_jaxpot, "apax": train_apax, "mlip": train_mlip}


class Worker:
    """One training, in a process of its own."""

    def __init__(self, name, python, job):
        self.log, self.per_atom = Path(job["folder"], f"{name}.log"), []
        self.process = subprocess.Popen(
            [python, __file__, "--worker", json.dumps(job | {"started": time.time()})], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("w"),
        )
        self.facts = self.epochs(WARM)
        if self.facts["atoms"] != job["atoms"]:
            print(f"{name}: {self.facts['atoms']:.0f} of {job['atoms']} atoms in an epoch", flush=True)

    def epochs(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('{"epochs"'):
                return json.loads(line)
        raise RuntimeError(f"a training ended:\n{self.log.read_text()[-2000:]}")

    def round(self, seconds):
        count = math.ceil(seconds / self.facts["epochs"][-1])
        self.per_atom.append(statistics.median(self.epochs(1 + count)["epochs"][1:]) / self.facts["atoms"])


def write_frames(dataset, recipe, path):
    """What `jp.train` trains on, for the peers; the number of atoms."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    validation, found = set(dataset.folds(round(1.0 / recipe.validation), 0)[0].tolist()), []
    for frame in (dataset[k] for k in range(len(dataset)) if k not in validation):
        structure = frame.structure
        found.append(Atoms(frame.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc))
        found[-1].calc = SinglePointCalculator(found[-1], energy=frame.energy, forces=frame.forces)
    write(path, found, format="extxyz")
    return sum(map(len, found))


def compare(options, folder):
    recipe, dataset = recipe_and_data(options.element)
    from jaxpot.data.bond_length import bond_length

    pythons = {"jaxpot": sys.executable, "apax": options.apax, "mlip": options.mlip}
    data, cutoff = str(Path(folder, "frames.xyz")), recipe.cutoff * bond_length(dataset)
    atoms = write_frames(dataset, recipe, data)
    print(f"{options.element}: {atoms} atoms in an epoch, cutoff {cutoff:.2f} A, {cores()} core(s)", flush=True)
    shared = {"element": options.element, "data": data, "folder": folder, "atoms": atoms, "cutoff": cutoff}
    workers = {
        name: Worker(name, pythons[program], shared | {"program": program, "model": model})
        for name, (program, model, _) in RUNS.items() if pythons[program]
    }
    for k in range(options.rounds):
        for worker in workers.values():
            worker.round(options.seconds)
        rates = ", ".join(f"{name} {1e-3 / worker.per_atom[-1]:.2f}" for name, worker in workers.items())
        print(f"round {k + 1}, thousand atoms/s: {rates}", flush=True)
    whole = {}
    for name, worker in workers.items():
        worker.process.stdin.close()
        rates = sorted(1e-3 / t for t in worker.per_atom)
        epoch = atoms * statistics.median(worker.per_atom)
        setup = worker.facts["total"] - WARM * epoch
        whole[name] = setup + WHOLE * epoch
        text = (f"{name}: {worker.facts['parameters']} parameters, {statistics.median(rates):.2f} [{rates[0]:.2f}, "
                f"{rates[-1]:.2f}] thousand atoms/s, set-up {setup:.0f} s, {WHOLE} epochs {whole[name]:.0f} s")
        if "descriptors" in worker.facts:
            text += f", descriptors {worker.facts['descriptors']:.1f} s of it"
        ours = RUNS[name][2]
        if ours:
            ratios = sorted(a / b for a, b in zip(worker.per_atom, workers[ours].per_atom, strict=True))
            text += (f"; {ours}: {statistics.median(ratios):.1f} [{ratios[0]:.1f}, {ratios[-1]:.1f}] times as fast, "
                     f"{whole[name] / whole[ours]:.1f} times in {WHOLE} epochs")
        print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apax", help="interpreter of an environment with apax")
    parser.add_argument("--mlip", help="interpreter of an environment with mlip")
    parser.add_argument("--element", default="Si")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round of each, at least")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        job = json.loads(options.worker)
        TRAININGS[job["program"]](job, Epochs(job["started"]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(options, folder)


if __name__ == "__main__":
    main()
