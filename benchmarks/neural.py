"""How long do energy and forces of a published neural network take?

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/neural.py FOLDER [--atoms 216] [--rounds 5]

FOLDER holds a network of n2p2, with units (Bohr, Hartree) as mlearn's. Beside it: jax-md's symmetry functions with the
same angular functions (and the same number of radial ones: it has no shifts) and a network of the same size; and a
committee of four networks of that size, with the mean and the spread of energy and forces; energies alone, and products
of the Hessian with a vector.

The floor counts, for each pair of neighbours within the cutoff: as many exponentials as there are different eta and one
for the cutoff function, at the rate of XLA's; 3 multiply-adds for each function (its value, and the derivatives by its
two factors) at the rate of large matrix products.
"""

import argparse
import statistics
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from gap import product_rate

import jaxpot as jp
from jaxpot.descriptors import Angular
from jaxpot.potentials.base import parameter_names


def with_jax_md(potential, atoms):
    """Energy and forces as jax-md's documentation writes them."""
    from jax_md import nn, partition, space

    term = next(t for t in getattr(potential, "terms", (potential,)) if hasattr(t, "descriptor"))
    functions = term.descriptor.functions
    angular = [f for f in functions if isinstance(f, Angular)]
    radial = [f for f in functions if not isinstance(f, Angular)]
    displacement, _ = space.periodic(atoms.cell.lengths())
    cutoff = float(potential.cutoff)
    network = term.readout.network
    vectors = nn.behler_parrinello.symmetry_functions_neighbor_list(
        displacement, None, jnp.array([f.eta for f in radial]), *(
            jnp.array([getattr(f, name) for f in angular]) for name in ("eta", "sign", "zeta")
        ), cutoff_distance=cutoff,
    )
    listing = partition.neighbor_list(displacement, atoms.cell.lengths(), cutoff, 0.3, capacity_multiplier=1.05)
    positions = jnp.asarray(atoms.positions)
    listed = listing.allocate(positions)

    def energy(x, listed):
        return jnp.sum(jax.vmap(network)(1e-3 * vectors(x, listed)))

    program = jax.jit(jax.value_and_grad(energy))
    return lambda: jax.block_until_ready(program(positions, listed))


def exponentials_per_second():
    values = jnp.linspace(0.0, 3.0, 1 << 14)

    @jax.jit
    def program(x):
        return jax.lax.fori_loop(0, 100, lambda _, y: jnp.exp(-y), x)

    jax.block_until_ready(program(values))
    start = time.perf_counter()
    jax.block_until_ready(program(values))
    return 100 * len(values) / (time.perf_counter() - start)


def seconds(run, least=0.1):
    """Of one run, among as many as take `least` seconds: what ran before has left the caches to others."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < least:
        run()
        count += 1
    return (time.perf_counter() - start) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--element", default="Si")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    potential = jp.load(options.model, units="Bohr Hartree")
    atoms = bulk(options.element, cubic=True) * ([options.repeat] * 3)
    atoms.rattle(0.05, seed=1)
    structure = jp.Structure.of(atoms)
    listed = jp.neighbors(structure, potential.cutoff, skin=0.3)
    program = jax.jit(lambda p, x: jp.evaluate(p, structure.moved(x), listed))

    def ours():
        return jax.block_until_ready(program(potential, structure.positions))

    weights = [name for name in parameter_names(potential) if ".network.kernels" in name or ".network.biases" in name]
    committee = jp.Posterior.of(potential, dict.fromkeys(weights, 0.01)).sample(0, 4)

    @jax.jit
    def of_members(committee, x):
        found = jp.evaluate(committee, structure.moved(x), listed)
        return jax.tree.map(lambda a: (a.mean(0), a.std(0, ddof=1)), found)

    def members():
        return jax.block_until_ready(of_members(committee, structure.positions))

    direction = jnp.ones_like(structure.positions)
    energy = jax.jit(lambda p, x: jp.energy(p, structure.moved(x), listed))
    product = jax.jit(lambda p, x: jp.hessian_vector_product(p, structure.moved(x), direction, listed))
    runs = {
        "ours": ours, "committee": members, "jax-md": with_jax_md(potential, atoms),
        "energies alone": lambda: jax.block_until_ready(energy(potential, structure.positions)),
        "Hessian-vector product": lambda: jax.block_until_ready(product(potential, structure.positions)),
    }
    times, rates = {name: [] for name in runs}, []
    rate = product_rate()
    for run in runs.values():
        run()
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(seconds(run) / len(atoms))
        rates.append(rate() / 2.0)
    median = {name: statistics.median(own) for name, own in times.items()}
    for name, own in median.items():
        print(f"{name}: {1e6 * own:.1f} us/atom")
    term = next(t for t in getattr(potential, "terms", (potential,)) if hasattr(t, "descriptor"))
    angular = [f for f in term.descriptor.functions if isinstance(f, Angular)]
    neighbours = float(np.mean(np.asarray(jp.neighbors(structure, potential.cutoff).counts)[: len(atoms)]))
    pairs = 0.5 * neighbours * (neighbours - 1.0)
    exponentials = pairs * (len({f.eta for f in angular}) + 1)
    products = 3.0 * pairs * len(angular)
    floor = exponentials / exponentials_per_second() + products / statistics.median(rates)
    print(f"{len(atoms)} atoms, {neighbours:.1f} neighbours: jax-md / ours {median['jax-md'] / median['ours']:.1f}; "
          f"floor {1e6 * floor:.2f} us/atom ({exponentials:.0f} exponentials at "
          f"{1e-9 * exponentials_per_second():.2f} G/s, "
          f"{products:.0f} multiply-adds at {1e-9 * statistics.median(rates):.1f} G/s): "
          f"{median['ours'] / floor:.1f} x; committee of 4 / one {median['committee'] / median['ours']:.2f}")


if __name__ == "__main__":
    main()
