"""How fast does a GAP run beside QUIP, and how near the floor of its two kernel products?

A model from a file, or a made one (`--make N_MAX L_MAX POINTS`: sparse points are SOAP vectors of disturbed silicon,
weights are random). For each size: times of `jax.jit(jp.evaluate)` and of quippy (energy, forces and stress of
both), interleaved, medians; the floor is 4 M D operations an atom, with the length D of the vectors in the file, at
this core's rate of large matrix products, measured in the same rounds. First of all the two are compared on a strained
and rattled crystal.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/gap.py gap.xml [--species Si] [--structure diamond:Si:a=5.43]
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/gap.py --make 10 12 9000 [--tolerance 1e-6]

With `--cores 2` jaxpot shares the atoms among two devices, each a core; quippy and the floor keep to one core:

    OMP_NUM_THREADS=1 taskset -c 0,1 python benchmarks/gap.py gap.xml --cores 2
"""

import argparse
import contextlib
import lzma
import math
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from quippy.potential import Potential as Quippy

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.io.prototypes import structure_from_spec


def unpacked(path, folder):
    """The model in a folder where quippy can read it: its side files may be compressed."""
    for file in Path(path).parent.iterdir():
        if file.suffix == ".xz":
            (folder / file.stem).write_bytes(lzma.open(file).read())
        elif file.is_file():
            shutil.copy(file, folder)
    return folder / Path(path).name


def model_arguments(parser):
    """The GAP, and the crystal, of a comparison with quippy."""
    parser.add_argument("model")
    parser.add_argument("--species", nargs="+")
    parser.add_argument("--structure", default="diamond:Si")


@contextlib.contextmanager
def here_and_there(options):
    """The model of such arguments, and quippy's reading of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = unpacked(options.model, Path(folder))
        yield jp.load(path, species=options.species), Quippy(param_filename=str(path))


def made(n_max, l_max, points, folder):
    """A GAP for silicon whose sparse points are SOAP vectors of disturbed crystals."""
    soap = jp.descriptors.SOAP(n_max, l_max, cutoff=5.0, atom_sigma=0.5, centers=["Si"])
    rng = np.random.default_rng(0)
    crystal = structure_from_spec("diamond:Si:a=5.43")[0].repeated((4, 4, 4))
    describe = jax.jit(lambda environments: jax.lax.map(lambda e: soap.instances(e)[0][0], environments, batch_size=16))
    vectors = []
    while sum(map(len, vectors)) < points:
        strain, moves = 0.08 * rng.normal(size=(3, 3)), rng.normal(scale=0.25, size=crystal.positions.shape)
        disturbed = crystal.strained(strain)
        disturbed = disturbed.moved(disturbed.positions + moves)
        listed = jp.neighbors(disturbed, soap.cutoff, capacity=120)
        vectors.append(np.asarray(describe(connect(disturbed, listed).environments())))
    vectors = np.concatenate(vectors)[:points]
    weights = rng.normal(size=points)
    readout = jp.readouts.SparseGP(jp.kernels.DotProduct(4), vectors, weights - weights.mean())
    term = jp.potentials.Described(soap, readout, ("Si",))
    path = folder / "gap.xml"
    jp.save(jp.potentials.Constants({"Si": -158.0}) + term, path)
    return path


def published_length(descriptor):
    """Length of the vectors in the file, which those here may be shorter than."""
    return descriptor.replace(compact=False).dimension if hasattr(descriptor, "compact") else descriptor.dimension


def timer(call):
    """A function that times as many calls as last a tenth of a second, in seconds a call; called before."""
    call()
    start = time.perf_counter()
    call()
    times = max(1, math.ceil(0.1 / (time.perf_counter() - start)))

    def measure():
        start = time.perf_counter()
        for _ in range(times):
            call()
        return (time.perf_counter() - start) / times

    return measure


def product_rate():
    """Operations per second of large matrix products."""
    a = np.random.default_rng(0).normal(size=(1000, 1000))
    a = jax.device_put(a)
    multiply = jax.jit(lambda a: a @ a)
    measure = timer(lambda: multiply(a).block_until_ready())
    return lambda: 2e9 / measure()


def shared(cores):
    """The mesh that shares the atoms, to be entered; and what puts arguments where they are needed."""
    if cores == 1:
        return contextlib.nullcontext(), jax.device_put
    mesh = jax.make_mesh((cores,), ("atoms",))
    everywhere = jax.NamedSharding(mesh, jax.P())
    return jax.set_mesh(mesh), lambda tree: jax.device_put(tree, everywhere)


def compare(potential, peer, structure):
    """Largest differences from quippy: energy and site energies (eV), forces (eV/A), stress (eV/A^3)."""
    rng = np.random.default_rng(1)
    structure = structure.repeated((2, 2, 2)).strained(0.02 * rng.normal(size=(3, 3)))
    structure = structure.moved(structure.positions + rng.normal(scale=0.1, size=structure.positions.shape))
    found, atoms = jp.evaluate(potential, structure), jp.to_ase(structure)
    atoms.calc = peer
    energy = abs(float(found.energy) - atoms.get_potential_energy()) / len(atoms)
    sites = np.abs(np.asarray(found.energies) - atoms.get_potential_energies()).max()
    forces = np.abs(np.asarray(found.forces) - atoms.get_forces()).max()
    stress = np.abs(np.asarray(found.stress) - atoms.get_stress(voigt=False)).max()
    print(f"difference from quippy: {energy:.1e} eV/atom, site energies {sites:.1e} eV, "
          f"forces {forces:.1e} eV/A, stress {stress:.1e} eV/A^3")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("--make", type=int, nargs=3, metavar=("N_MAX", "L_MAX", "POINTS"))
    parser.add_argument("--species", nargs="+")
    parser.add_argument("--tolerance", type=float, help="eV: how much site energies may change by shorter vectors")
    parser.add_argument("--structure", default="diamond:Si:a=5.43")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 1000, 10000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=1, help="devices that share the atoms")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.cores)
    if (options.model is None) == (options.make is None):
        parser.error("give a model or --make")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        path = unpacked(options.model, folder) if options.model else made(*options.make, folder)
        potential = jp.load(path, species=options.species, tolerance=options.tolerance)
        run(potential, Quippy(param_filename=str(path)), options)


def run(potential, peer, options):
    cell, _ = structure_from_spec(options.structure)
    compare(potential, peer, cell)
    terms = [term for term in potential.terms if hasattr(term, "readout")]
    operations = sum(4 * len(term.readout.points) * published_length(term.descriptor) for term in terms)
    for term in terms:
        points, length = term.readout.points.shape
        print(f"{points} sparse points of {published_length(term.descriptor)} components in the file, {length} here")
    rate = product_rate()
    for size in options.sizes:
        repeats = round((size / len(cell)) ** (1 / 3))
        structure = cell.repeated((repeats,) * 3)
        moves = np.random.default_rng(0).normal(scale=0.05, size=structure.positions.shape)
        structure = structure.moved(structure.positions + moves)
        listed = jp.neighbors(structure, potential.cutoff)
        mesh, put = shared(options.cores)
        arguments = put((potential, structure, listed))
        start = time.perf_counter()
        with mesh:
            evaluate = jax.jit(jp.evaluate).lower(*arguments).compile()
        cold = time.perf_counter() - start
        atoms = jp.to_ase(structure)
        atoms.calc = peer

        def quippy(atoms=atoms):
            peer.reset()
            peer.calculate(atoms, properties=["energy", "forces", "stress"])

        def jaxpot(evaluate=evaluate, arguments=arguments):
            jax.block_until_ready(evaluate(*arguments))

        ours, theirs = timer(jaxpot), timer(quippy)
        rounds = max(1, min(options.rounds, 20_000 // size))
        found = [(ours(), theirs(), rate()) for _ in range(rounds)]
        a, b, speed = (statistics.median(column) for column in zip(*found, strict=True))
        scale, floor = 1e6 / len(structure), operations / speed * 1e6
        temporary = evaluate.memory_analysis().temp_size_in_bytes / 1e6
        print(
            f"{len(structure):6d} atoms, {listed.capacity} places: jaxpot {a * scale:7.1f} us/atom, "
            f"quippy {b * scale:7.1f} = {b / a:.1f} x; "
            f"floor {floor:.1f} us/atom at {speed / 1e9:.0f} Gflop/s, {a * scale / floor:.2f} x it; "
            f"compiled in {cold:.1f} s, {temporary:.0f} MB of temporaries",
            flush=True,
        )


if __name__ == "__main__":
    main()
