"""How many steps of training a second, beside InstaDeep's mlip, for an equivariant network of the same size?

Frames of silicon (Zuo et al., J. Phys. Chem. A 124, 731 (2020)), batches of four, energies and forces, single
precision, Adam, exponential averages: NequIP with the same degrees, channels, hops, radial functions and widths. The
peer runs in an environment of its own (`universal.py peer mlip --into FOLDER`), in a process that waits while ours
works: rounds are interleaved. Seconds of the processor for one epoch, medians; the first of each process, which
compiles, apart.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/training_speed.py run --peer FOLDER/mlip/bin/python
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
BATCH, CUTOFF, HOPS, RADIAL = 4, 4.5, 2, 8
CHANNELS, HIDDEN = (32, 16, 8), (32, 32)


def serve(path):
    """The peer's side: a line in, an epoch, its seconds out."""
    import ase.io
    import jax
    import optax
    from mlip.data import GraphDatasetBuilder
    from mlip.data.chemical_systems_readers.ase_atoms_reader import ASEAtomsReader
    from mlip.models import ForceField, Nequip
    from mlip.models.loss import MSELoss
    from mlip.training import TrainingLoop

    frames = ase.io.read(path, ":")
    readers = {"train": ASEAtomsReader(frames), "valid": ASEAtomsReader(frames[:BATCH])}
    builder = GraphDatasetBuilder(
        readers, GraphDatasetBuilder.Config(graph_cutoff_angstrom=CUTOFF, batch_size=BATCH)
    )
    data = builder.get_datasets()
    names = "".join(f" + {count}x{degree}{'eo'[degree % 2]}" for degree, count in enumerate(CHANNELS))
    settings = Nequip.Config(
        num_layers=HOPS, target_irreps=names.removeprefix(" + "), l_max=len(CHANNELS) - 1, num_rbf=RADIAL,
        radial_mlp_hidden=list(HIDDEN),
    )
    field = ForceField.from_mlip_network(Nequip(settings, builder.dataset_info))
    loop = TrainingLoop(
        data["train"], data["valid"], field, MSELoss(), optax.adam(1e-3),
        TrainingLoop.Config(num_epochs=1, run_eval_at_start=False),
    )
    state = loop.training_state
    print("ready", flush=True)
    for _ in sys.stdin:
        start, steps = time.process_time(), 0
        for batch in data["train"]:
            state, _ = loop.training_step(state, batch, 1)
            steps += 1
        jax.block_until_ready(state)
        print(time.process_time() - start, steps, flush=True)


def run(options):
    import jax

    jax.config.update("jax_enable_x64", True)
    import ase.io
    import numpy as np

    import jaxpot as jp
    from jaxpot.fitting.networks import evaluated

    whole = jp.datasets.mlearn("Si", "train")
    frames = [whole[k] for k in np.random.default_rng(0).permutation(len(whole))[: options.frames]]
    data = jp.Dataset.of(frames, e0=whole.e0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.xyz"
        ase.io.write(path, [atoms_of(frame, jp) for frame in frames])
        peer = subprocess.Popen(
            [options.peer, __file__, "serve", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        while (line := peer.stdout.readline()) and line != "ready\n":
            pass
        epoch = epoch_of(data, jp, evaluated)
        times = {"jaxpot": [], "mlip": []}
        for _ in range(ROUNDS + 1):
            start = time.process_time()
            epoch()
            times["jaxpot"].append(time.process_time() - start)
            print("go", file=peer.stdin, flush=True)
            seconds, steps = peer.stdout.readline().split()
            times["mlip"].append(float(seconds))
            print({name: round(values[-1], 3) for name, values in times.items()}, flush=True)
        peer.stdin.close()
    ours, theirs = (np.array(times[name]) for name in ("jaxpot", "mlip"))
    atoms, ratios = sum(map(len, frames)), theirs[1:] / ours[1:]
    print(f"{len(frames)} frames, {atoms} atoms, {steps} steps of the peer")
    print(f"first epoch {ours[0]:.1f} s, peer {theirs[0]:.1f} s")
    print(f"then {np.median(ours[1:]):.3f} s, {1e3 * np.median(ours[1:]) / atoms:.3f} ms an atom")
    print(f"peer {np.median(ratios):.2f} x as long ({ratios.min():.2f} to {ratios.max():.2f})")


def epoch_of(data, jp, evaluated):
    """A function that trains one epoch: the descent of `jp.train`, which reports once an epoch."""
    from jaxpot.data.bond_length import bond_length
    from jaxpot.data.targets import fit_targets
    from jaxpot.fitting.clock import Clock
    from jaxpot.fitting.networks.beginnings import random_networks
    from jaxpot.fitting.networks.division import Division

    recipe = jp.NetworkRecipe(
        reads="hops", cutoff=CUTOFF / bond_length(data), channels=CHANNELS, hops=HOPS, radial=RADIAL,
        hidden=HIDDEN, members=1, batch=BATCH, validation=0.0, rate=1e-3, epochs=1000,
    )
    training = evaluated.potential_training(
        data, fit_targets(data, None), Division.of(data, recipe, 0), {}, members=random_networks(data, recipe, 0),
        recipe=recipe, baseline=None, seed=0, checkpoint=None, say=print, clock=Clock(),
    )
    descent = training.descent

    def epoch():
        import jax

        order = jax.random.permutation(descent.key, len(descent.names))
        descent.state, losses = descent.epoch_of(descent.state, descent.training, descent.curved, order)
        jax.block_until_ready(losses)

    return epoch


def atoms_of(frame, jp):
    """`ase.Atoms` with the labels of a frame."""
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = jp.to_ase(frame.structure)
    atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces)
    return atoms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    served = commands.add_parser("serve", help="the peer's side")
    served.add_argument("path")
    runs = commands.add_parser("run")
    runs.add_argument("--peer", required=True, help="python of the peer's environment")
    runs.add_argument("--frames", type=int, default=64)
    options = parser.parse_args()
    serve(options.path) if options.command == "serve" else run(options)


if __name__ == "__main__":
    main()
