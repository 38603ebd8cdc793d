"""How far off is a GAP in single precision, against itself in double precision?

jaxpot refuses float32 for GAPs, so this goes beneath its check: site energies of a crystal, perfect as well as strained
and rattled, and forces, with parameters and structure cast to float32. The two halves are also cast alone: the vectors
(made in float32 and handed to the double kernel), and the kernel with its weights (given double vectors in float32).
Beside them what rounding must be expected to do: half a unit in the last place of float32 times the sum of the
magnitudes that cancel, sum_s |alpha_s k_s|.

    OMP_NUM_THREADS=1 python benchmarks/gap_precision.py Si/published/gap/gap.xml Mo/published/gap/gap.xml
        [--structures diamond:Si bcc:Mo]
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from gap import unpacked

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.io.prototypes import structure_from_spec
from jaxpot.potentials import Described

PRECISIONS = {
    "all in float32": ("float32", "float32"),
    "vectors in float32": ("float32", "float64"),
    "kernels in float32": ("float64", "float32"),
}


def cast(tree, dtype):
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(jnp.result_type(x), jnp.floating) else x, tree)


@partial(jax.jit, static_argnames=("dtype", "kernel_dtype"))
def evaluate(potential, structure, listed, dtype, kernel_dtype):
    """Site energies (n,) and forces (n, 3): geometry and vectors in one precision, kernels and weights in another."""
    listed = cast(listed, dtype)

    def site(environment):
        total = 0.0
        for term in getattr(potential, "terms", (potential,)):
            if isinstance(term, Described):
                found = term.descriptor.instances(environment)
                total += cast(term.readout, kernel_dtype).energy(*cast(found, kernel_dtype))
            else:
                total += cast(term, dtype).site_energy(environment)
        return total

    def energies(positions):
        graph = connect(cast(structure, dtype).moved(positions), listed)
        found = jax.lax.map(site, graph.environments(), batch_size=32)
        return found.sum(), found

    gradient, found = jax.grad(energies, has_aux=True)(structure.positions.astype(dtype))
    return found, -gradient


@jax.jit
def magnitudes(potential, structure, listed):
    """Largest sum over sparse points of |alpha k| of any atom, eV."""

    def site(environment):
        total = 0.0
        for term in getattr(potential, "terms", (potential,)):
            if isinstance(term, Described):
                features = term.readout.features(*term.descriptor.instances(environment))
                total += jnp.abs(features * term.readout.weights).sum()
        return total

    return jax.lax.map(site, connect(structure, listed).environments(), batch_size=32).max()


def compare(potential, spec):
    cell, _ = structure_from_spec(spec)
    rng = np.random.default_rng(1)
    repeats = round((64 / len(cell)) ** (1 / 3))
    perfect = cell.repeated((repeats,) * 3)
    strained = perfect.strained(0.02 * rng.normal(size=(3, 3)))
    disturbed = strained.moved(strained.positions + rng.normal(scale=0.1, size=strained.positions.shape))
    capacity = max(jp.neighbors(s, potential.cutoff).capacity for s in (perfect, disturbed))
    for what, structure in {"perfect": perfect, "strained and rattled": disturbed}.items():
        listed = jp.neighbors(structure, potential.cutoff, capacity=capacity)
        exact = evaluate(potential, structure, listed, "float64", "float64")
        known = jp.evaluate(potential, structure, listed)
        assert np.allclose(exact[0], known.energies, atol=1e-7) and np.allclose(exact[1], known.forces, atol=1e-7)
        size = float(magnitudes(potential, structure, listed))
        unit = np.finfo(np.float32).eps / 2
        print(f"{spec}, {what}, {len(structure)} atoms: sum |alpha k| {size:.1e} eV, half a unit of it "
              f"{unit * size:.1e} eV")
        for name, dtypes in PRECISIONS.items():
            found = evaluate(potential, structure, listed, *dtypes)
            sites = np.asarray(found[0], np.float64) - np.asarray(exact[0])
            forces = np.asarray(found[1], np.float64) - np.asarray(exact[1])
            print(f"  {name:18s} energy off by {abs(sites.mean()):.1e} eV/atom, site energies "
                  f"{np.abs(sites).max():.1e} eV, forces {np.abs(forces).max():.1e} eV/A", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--structures", nargs="+", default=["diamond:Si", "bcc:Mo"])
    options = parser.parse_args()
    for path, spec in zip(options.models, options.structures, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            compare(jp.load(unpacked(path, Path(folder))), spec)


if __name__ == "__main__":
    main()
