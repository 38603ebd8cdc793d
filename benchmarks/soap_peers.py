"""How long do SOAP vectors and their derivatives take beside featomic and DScribe?

Disturbed silicon, n_max = l_max = 8, cutoff 5 A, Gaussians of 0.5 A, float64, one core; everybody starts from
positions, the search for neighbours included. Medians of interleaved rounds, in seconds of this process (what other
processes take of the core does not count), in three forms:

    vectors      of all atoms;
    derivatives  vectors, and their derivatives by the position of every neighbour, stored;
    contracted   vectors, and the derivative of sum_i w_i . p_i by all positions. Here that is a pullback of each chunk
                 of atoms and nothing is stored; the peers contract what they have stored.

Ours are 325 components (QUIP's order, the last one constant) and not divided by their length, as are the peers': 324 of
featomic (n_1 <= n_2; 576 by default) with the same switch of 0.5 A below the cutoff, and 324 of DScribe. `compact` are
the 196 components that carry all scalar products. The density is ours in featomic too, expanded in another radial
basis: cosines between environments, printed first, become the same as the basis grows.
DScribe sees atoms up to 1.86 A beyond its r_cut, so it runs twice: with the same r_cut, and with r_cut = 3.14 A, where
it sees the atoms that the others see (another descriptor, of a shorter range). Its analytic derivatives exist for open
clusters only, as a dense array (atoms, atoms, 3, components): there all are compared in that cluster too, up to --dense
gigabytes.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 RAYON_NUM_THREADS=1
    taskset -c 0 python benchmarks/soap_peers.py [--repeats 2 3 5]
"""

import argparse
import statistics
import time
import warnings

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from dscribe.descriptors import SOAP as DScribe
from featomic import SoapPowerSpectrum
from metatensor import Labels

import jaxpot as jp
from jaxpot.core.graph import Environment, connect

N_MAX, L_MAX, CUTOFF, SIGMA = 8, 8, 5.0, 0.5
PADDING = SIGMA * np.sqrt(-2.0 * np.log(1e-3))  # A, how far DScribe sees beyond r_cut
BATCH = 16


class Ours:
    """jaxpot, compiled for one structure; the capacity of its rows is found out beforehand."""

    def __init__(self, atoms, weights, compact=False, n_max=N_MAX):
        self.soap = jp.descriptors.SOAP(
            n_max, L_MAX, CUTOFF, atom_sigma=SIGMA, normalise=False, compact=compact, compact_tolerance=1e-15
        )
        self.structure = jp.Structure.of(atoms)
        self.capacity = jp.neighbors(self.structure, CUTOFF).capacity
        self.weights = jnp.asarray(weights[:, : self.soap.dimension])
        self.programs = {name: jax.jit(getattr(self, "_" + name)) for name in ("vectors", "derivatives", "contracted")}

    def run(self, name):
        listed = jp.neighbors(self.structure, CUTOFF, capacity=self.capacity)
        return jax.block_until_ready(self.programs[name](self.structure, listed))

    def _vectors(self, structure, listed):
        environments = connect(structure, listed).environments()
        return jax.lax.map(lambda e: self.soap.instances(e)[0][0], environments, batch_size=BATCH)

    def _derivatives(self, structure, listed):
        """Vectors (n, d), derivatives (n, K, 3, d); those by the atom itself are minus the sum over neighbours."""

        def one(environment):
            vectors, _, _, changes, _ = self.soap.jacobian(environment)
            return vectors[0], changes[0]

        return jax.lax.map(one, connect(structure, listed).environments(), batch_size=BATCH)

    def _contracted(self, structure, listed):
        def one(row):
            environment, weights = row

            def vector(x, y, z):
                r = jnp.sqrt(x * x + y * y + z * z)
                return self.soap.instances(Environment(x, y, z, r, environment.numbers, environment.number))[0][0]

            found, pull = jax.vjp(vector, environment.x, environment.y, environment.z)
            return found, jnp.stack(pull(weights), axis=-1)

        graph = connect(structure, listed)
        vectors, slopes = jax.lax.map(one, (graph.environments(), self.weights), batch_size=BATCH)
        slopes = jnp.where(graph.filled[:, :, None], slopes, 0.0)
        total = jnp.zeros((len(structure), 3)).at[graph.others].add(slopes)
        return vectors, total.at[graph.centers].add(-slopes.sum(1))


class Featomic:
    """featomic, of the same density, the pairs n_1 <= n_2 of radial functions."""

    def __init__(self, atoms, weights, n_max=N_MAX):
        self.atoms = atoms
        self.calculator = SoapPowerSpectrum(
            cutoff={"radius": CUTOFF, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
            density={"type": "Gaussian", "width": SIGMA, "center_atom_weight": 1.0},
            basis={"type": "TensorProduct", "max_angular": L_MAX, "radial": {"type": "Gto", "max_radial": n_max - 1}},
        )
        l, first, second = (x.reshape(-1) for x in np.indices((L_MAX + 1, n_max, n_max)))  # noqa: E741
        table = np.stack([l, first, second], axis=1)[first <= second].astype(np.int32)
        self.selected = Labels(["l", "n_1", "n_2"], table)
        self.scale = np.where(table[:, 1] == table[:, 2], 1.0, np.sqrt(2.0))
        self.weights = weights[:, : len(table)]

    def run(self, name):
        gradients = [] if name == "vectors" else ["positions"]
        block = self.calculator.compute(self.atoms, gradients=gradients, selected_properties=self.selected).block(0)
        if name != "contracted":
            return block.values
        stored = block.gradient("positions")
        centers, _, moved = stored.samples.values.T
        total = np.zeros((len(self.atoms), 3))
        np.add.at(total, moved, (stored.values @ self.weights[centers][:, :, None])[:, :, 0])
        return block.values, total


class DScribes:
    """DScribe, with Gaussian-type radial functions as the only ones that have analytic derivatives."""

    def __init__(self, atoms, weights, r_cut):
        self.atoms = atoms
        self.soap = DScribe(species=["Si"], r_cut=r_cut, n_max=N_MAX, l_max=L_MAX, sigma=SIGMA,
                            periodic=bool(atoms.pbc.any()))
        self.weights = weights[:, : self.soap.get_number_of_features()]

    def run(self, name):
        if name == "vectors":
            return self.soap.create(self.atoms)
        stored, vectors = self.soap.derivatives(self.atoms, method="analytical")
        if name == "derivatives":
            return stored, vectors
        return vectors, np.einsum("ijcd,id->jc", stored, self.weights, optimize=True)


def disturbed(repeats, periodic):
    atoms = bulk("Si", a=5.43, cubic=True) * ((repeats,) * 3)
    atoms.rattle(0.1, seed=0)
    atoms.pbc = periodic
    return atoms


def cosines(vectors):
    vectors = np.asarray(vectors) / np.linalg.norm(vectors, axis=1)[:, None]
    return vectors @ vectors.T


def check():
    """Contracted and stored derivatives against differences of vectors; cosines, ours and featomic's."""
    atoms = disturbed(2, True)
    weights = np.random.default_rng(2).normal(size=(len(atoms), 1300))
    ours = Ours(atoms, weights)
    step, moves = 1e-5, np.random.default_rng(3).normal(size=(len(atoms), 3))
    sums = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * step * moves
        sums.append(np.vdot(Ours(moved, weights).run("vectors"), ours.weights))
    expected = (sums[0] - sums[1]) / (2 * step)
    _, slopes = ours.run("contracted")
    _, changes = ours.run("derivatives")
    graph = connect(ours.structure, jp.neighbors(ours.structure, CUTOFF, capacity=ours.capacity))
    relative = np.where(graph.filled[:, :, None], moves[np.asarray(graph.others)] - moves[:, None], 0.0)
    stored = np.einsum("ikcd,id,ikc->", changes, ours.weights, relative)
    print(f"derivative along one direction: contracted {np.vdot(slopes, moves):.8f}, stored {stored:.8f}, "
          f"by differences {expected:.8f}")
    for n_max in (N_MAX, 2 * N_MAX):
        mine = cosines(Ours(atoms, weights, n_max=n_max).run("vectors"))
        featomic = Featomic(atoms, weights, n_max)
        apart = np.abs(mine - cosines(featomic.run("vectors") * featomic.scale)).max()
        print(f"n_max {n_max}: cosines between environments {mine.min():.4f} to 1, featomic's differ by {apart:.1e}")


def timer(call):
    """A function that measures one call in seconds of this process; called once before."""
    call()

    def measure():
        start = time.process_time()
        call()
        return time.process_time() - start

    return measure


def measured(runs, name, rounds):
    measures = {who: timer(lambda run=run: run(name)) for who, run in runs.items()}
    times = [{who: measure() for who, measure in measures.items()} for _ in range(rounds)]
    return {who: statistics.median(t[who] for t in times) for who in runs}


def show(size, where, name, times):
    ours = times["jaxpot"]
    parts = [f"{who} {t / size * 1e6:.0f} us/atom ({t / ours:.2f} x)" for who, t in times.items()]
    print(f"{size:5d} atoms, {where}, {name:11s}: " + ", ".join(parts), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, nargs="+", default=[2, 3, 5])
    parser.add_argument("--where", nargs="+", choices=("crystal", "cluster"), default=["crystal", "cluster"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dense", type=float, default=0.5, help="GB that DScribe's derivatives may take")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="periodic boundary conditions are disabled")  # featomic, of a cluster
    check()
    for repeats in options.repeats:
        for where in options.where:
            periodic = where == "crystal"
            atoms = disturbed(repeats, periodic)
            weights = np.random.default_rng(1).normal(size=(len(atoms), 400))
            ours, compact = Ours(atoms, weights), Ours(atoms, weights, compact=True)
            same, short = DScribes(atoms, weights, CUTOFF), DScribes(atoms, weights, CUTOFF - PADDING)
            runs = {"jaxpot": ours.run, "compact": compact.run, "featomic": Featomic(atoms, weights).run}
            with_dscribe = runs | {"DScribe": same.run, f"DScribe with r_cut {CUTOFF - PADDING:.2f}": short.run}
            dense = len(atoms) ** 2 * 3 * 324 * 8e-9
            show(len(atoms), where, "vectors", measured(with_dscribe, "vectors", options.rounds))
            fits = not periodic and dense <= options.dense
            for name in ("derivatives", "contracted"):
                show(len(atoms), where, name, measured(with_dscribe if fits else runs, name, options.rounds))


if __name__ == "__main__":
    main()
