"""What do a short-ranged term and further elements cost beside one SOAP of one element?

Times of `jax.jit(jp.evaluate)` for made-up models with 1000 sparse points an element (n = l = 8, 5.4 A), interleaved:
the SOAP alone, a three-body term of 3 A with 300 sparse points alone and beside it, and SOAPs of three elements, first
with one channel for all neighbours, then with a channel for each element. The floor of each is its two kernel products
for the atoms' own elements, at this core's rate of large matrix products.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/gap_terms.py [--repeats 5]
"""

import argparse
import statistics

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase.build import bulk
from gap import product_rate, timer

import jaxpot as jp
from jaxpot.checks import checked_neighbors
from jaxpot.descriptors import SOAP, Triplet
from jaxpot.kernels import DotProduct, SquaredExponential
from jaxpot.potentials import Constants, Described
from jaxpot.readouts import SparseGP

ELEMENTS = ("Si", "C", "O")


def soap(center, species, channels=None):
    descriptor = SOAP(8, 8, 5.4, species=channels, centers=(center,), compact=True, compact_tolerance=1e-15)
    points = np.random.default_rng(0).normal(size=(1000, descriptor.dimension))
    points /= np.linalg.norm(points, axis=1)[:, None]
    return Described(descriptor, SparseGP(DotProduct(4), points, np.full(1000, 1e-3)), species)


def models():
    one = soap("Si", ("Si",))
    points = np.random.default_rng(0).uniform(1.0, 5.0, size=(300, 3))
    short = Described(Triplet(3.0, 0.5), SparseGP(SquaredExponential(1.0), points, np.full(300, 1e-3)), ("Si",))
    reference = Constants(dict.fromkeys(ELEMENTS, -1.0))
    return {
        "SOAP": (one, ("Si",)),
        "3 A three-body term": (short, ("Si",)),
        "both": (one + short, ("Si",)),
        "three elements, one channel": (sum((soap(z, ELEMENTS) for z in ELEMENTS), reference), ELEMENTS),
        "three elements, three channels": (sum((soap(z, ELEMENTS, ELEMENTS) for z in ELEMENTS), reference), ELEMENTS),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    measures, products = {}, {}
    for name, (potential, elements) in models().items():
        atoms = bulk("Si", cubic=True) * ((options.repeats,) * 3)
        atoms.rattle(0.05, seed=0)
        atoms.symbols = [elements[k] for k in np.random.default_rng(1).integers(0, len(elements), len(atoms))]
        structure = jp.Structure.of(atoms)
        listed = jax.device_put(checked_neighbors(potential, structure))
        evaluate = jax.jit(jp.evaluate).lower(potential, structure, listed).compile()
        arguments = (potential, structure, listed)
        measures[name] = timer(lambda e=evaluate, a=arguments: jax.block_until_ready(e(*a)))
        described = [t for t in getattr(potential, "terms", (potential,)) if isinstance(t, Described)]
        products[name] = sum(4 * t.readout.points.size for t in described if isinstance(t.descriptor, SOAP))
        products[name] /= len(elements)
    rate = product_rate()
    rounds = [({name: measure() for name, measure in measures.items()}, rate()) for _ in range(9)]
    speed = statistics.median(speed for _, speed in rounds)
    for name in measures:
        time = statistics.median(times[name] for times, _ in rounds) / len(atoms) * 1e6
        ratio = statistics.median(times[name] / times["SOAP"] for times, _ in rounds)
        floor = products[name] / speed * 1e6
        print(f"{name:32s} {time:8.1f} us/atom, {ratio:5.2f} x the SOAP; floor {floor:6.1f} us/atom")


if __name__ == "__main__":
    main()
