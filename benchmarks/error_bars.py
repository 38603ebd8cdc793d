"""Are the error bars right, and what do they cost?

    python benchmarks/error_bars.py oracle [--seeds 20]    GAPs fitted to Stillinger-Weber silicon, as the demo does:
                                                           how many properties lie within 2 sigma of the truth
    python benchmarks/error_bars.py samples [--draws 1000] linearised bars against draws from the posterior
    python benchmarks/error_bars.py mlearn [Si Ge ...]     coverage of 90 % intervals on the test sets, recipe `gap`
                                                           or another --recipe, calibrated on folds of the training
                                                           sets; with --networks, of committees of networks
    python benchmarks/error_bars.py cost [Si Ge ...]       times against forces, and of a card with and without bars:
                                                           GAP of the demo, or the recipe `gap` on mlearn's elements
    python benchmarks/error_bars.py select                 frames chosen for the bar of C44 against frames at random
    python benchmarks/error_bars.py queries                is a variance ever negative: 100,000 environments
"""

import argparse
import time
import warnings
from dataclasses import replace

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from gap import product_rate

import jaxpot as jp
from jaxpot.checks import prepare_padded
from jaxpot.cli import demo
from jaxpot.cli.compiler import compile_sooner
from jaxpot.data.predictions import predict
from jaxpot.io import structure_from_spec
from jaxpot.report.card import property_card, relaxed_crystal
from jaxpot.uncertainty.linear_terms import uncertain_terms
from jaxpot.uncertainty.propagation import shape_response
from jaxpot.uncertainty.residual import _instances
from jaxpot.uncertainty.scores import normal_quantile
from jaxpot.uncertainty.selection import observed_frame

ELEMENTS = ("Li", "Mo", "Ge", "Si", "Cu", "Ni")
Q = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.0, 0.5], [0.375, 0.75, 0.375]])
FACES = ((1, 0, 0), (1, 1, 0), (1, 1, 1))
SYMMETRY = 1e-4  # of the largest bar of a frame
PROPERTIES = {
    "a0": lambda p, x: 2.0 * x.cell[0, 1],
    "C11 C12 C44": lambda p, x: (lambda c: jnp.stack([c.c11, c.c12, c.c44]))(jp.elastic_constants(p, x)),
    "frequencies": lambda p, x: jp.phonons(p, x, Q).frequencies,
    "gamma": lambda p, x: jp.gruneisen(p, x, Q).gamma,
    "alpha": lambda p, x: jp.thermal_expansion(p, x, [100.0, 300.0, 600.0], (4, 4, 4)).alpha,
}


def oracle_fit(seed):
    """The fit of the demo with another seed, its data and the crystal it starts from."""
    oracle = jp.load(demo.ORACLE)
    crystal, _ = structure_from_spec("diamond:Si:a=5.431")
    train = jp.draw_dataset(oracle, crystal.repeated((2, 2, 2)), demo.FRAMES, seed, **demo.DISTURBANCE)
    train = demo.with_free_atoms(train, oracle, crystal)
    recipe = replace(jp.read_recipe(demo.RECIPE), choice=demo.CHOICE)
    found = jp.fit(train, recipe, seed=seed, jitter=demo.JITTER, predictions=False, keep_folds=True)
    return found, train, crystal


def oracle(options):
    truth, shown = jp.load(demo.ORACLE), {}
    for seed in range(options.seeds):
        jax.clear_caches()  # programs of other sizes; a process may hold only so many
        found, train, crystal = oracle_fit(seed)
        posterior = jp.calibrate(found, train).apply(found.posterior)
        values = []
        for potential in (truth, found.potential):
            at_rest = relaxed_crystal(potential, crystal)
            table = {name: np.ravel(function(potential, at_rest)) for name, function in PROPERTIES.items()}
            defects = {"vacancy": jp.vacancy_energy(potential, at_rest)}
            defects |= {f"surface {m}": jp.surface_energy(potential, at_rest, m) for m in FACES}
            values.append(table | {name: np.ravel(own.energy) for name, own in defects.items()})
        wide = jp.widened(jp.widened_near(posterior, at_rest), [own.structure for own in defects.values()])
        response = shape_response(wide, at_rest)
        bars = {
            name: np.ravel(jp.propagate(wide, function, at_rest, response).std)
            for name, function in (PROPERTIES | {name: own.at for name, own in defects.items()}).items()
        }
        for name, bar in bars.items():
            off = (values[1][name] - values[0][name]) / bar
            known = np.isfinite(off) & (np.abs(values[0][name]) > 1e-7 * np.nanmax(np.abs(values[0][name])))
            shown.setdefault(name, []).append(off[known])
        print(f"seed {seed}: property factor {float(posterior.property_factor):.2f}; within 2 sigma "
              + ", ".join(f"{name} {np.mean(np.abs(z[-1]) < 2):.2f}" for name, z in shown.items()), flush=True)
    every = np.concatenate([np.concatenate(z) for z in shown.values()])
    for name, z in shown.items():
        print(f"{name}: {100 * np.mean(np.abs(np.concatenate(z)) < 2):.0f} % within 2 sigma")
    print(f"all {len(every)}: {100 * np.mean(np.abs(every) < 2):.1f} % within 2 sigma, "
          f"{100 * np.mean(np.abs(every) < 1):.1f} % within 1")


def samples(options):
    found, _, crystal = oracle_fit(0)
    at_rest = relaxed_crystal(found.potential, crystal)
    posterior = jp.widened_near(found.posterior, at_rest) if options.wide else found.posterior
    response = shape_response(posterior, at_rest)
    linear = {n: np.ravel(jp.propagate(posterior, f, at_rest, response).std) for n, f in PROPERTIES.items()}
    committee, drawn = posterior.sample(1, options.draws), {name: [] for name in PROPERTIES}
    start = time.perf_counter()
    for k in range(options.draws):
        moved = jp.relax(committee[k], at_rest, cell=True).structure
        for name, function in PROPERTIES.items():
            drawn[name].append(np.ravel(function(committee[k], moved)))
        if k % 100 == 99:
            print(f"{k + 1} draws, {time.perf_counter() - start:.0f} s", flush=True)
    for name, rows in drawn.items():
        ratio = np.std(rows, axis=0) / linear[name]
        known = np.isfinite(ratio) & (np.abs(np.mean(rows, axis=0)) > 1e-5 * np.nanmax(np.abs(rows)))
        print(f"{name}: draws over linearised {ratio[known].min():.3f} to {ratio[known].max():.3f}")


def mlearn(options):
    pooled = []
    for element in options.elements or ELEMENTS:
        start = time.perf_counter()
        train, test = (jp.datasets.mlearn(element, split) for split in ("train", "test"))
        if options.networks:
            found = jp.train(train, predictions=False, keep_folds=True)
        else:
            found = jp.fit(train, options.recipe, predictions=False, keep_folds=True)
        fitted = time.perf_counter() - start
        calibration = jp.calibrate(found, train)
        posterior = calibration.apply(found.posterior)
        inside, width = {"energy": [], "forces": []}, normal_quantile(0.9)
        structures = [frame.structure for frame in test]
        values, bars = jp.evaluate_many(found.potential, structures), jp.std_many(posterior, structures)
        for frame, value, bar in zip(test, values, bars, strict=True):
            inside["energy"].append(abs(float(value.energy) - frame.energy) < width * bar.total.energy)
            off, of_forces = np.abs(np.asarray(value.forces) - frame.forces), np.asarray(bar.total.forces)
            # Not those that symmetry makes zero, of error and bar but for the digits of the positions.
            there = of_forces > SYMMETRY * of_forces.max()
            inside["forces"].append((off < width * of_forces)[there])
        pooled += inside["energy"]
        errors = predict(found.potential, test).errors()["all"]
        print(f"{element}: {1e3 * errors['energy']['mae']:.2f} meV/atom, {errors['forces']['mae']:.4f} eV/A; "
              f"{len(inside['energy'])} energies {100 * np.mean(inside['energy']):.0f} %, forces "
              f"{100 * np.mean(np.concatenate(inside['forces'])):.1f} % in the 90 % interval; fit {fitted:.0f} s, "
              f"calibration {time.perf_counter() - start - fitted:.0f} s\n{calibration}", flush=True)
    print(f"energies of all: {100 * np.mean(pooled):.1f} % of {len(pooled)}")


def products_of_bars(posterior, structure):
    """Multiply-adds of matrix products that exact bars of all forces need at least.

    For each mover of a vector 3 d M for the rows of the design matrix; 3 n M R and 3 n M^2 / 2 for what the weights and
    the sparse points make of them; and for each atom 7 I^2 d for the prior of its three forces, I vectors depending on
    it: products of vectors with vectors, and with and between the derivatives by three coordinates.
    """
    total, width = 0, posterior.factor.shape[0]
    n, (_, padded, listed) = prepare_padded(posterior.potential, structure, None)
    for term, _ in uncertain_terms(posterior):
        found = _instances(term, padded, listed)
        points, dimension = term.readout.points.shape
        moved = np.bincount(np.asarray(found.atoms)[np.asarray(found.moves)])
        own = np.count_nonzero(found.weights)  # each atom that moves with its own vector needs no product of its own
        total += 3 * dimension * points * (moved.sum() - own) + 1.5 * n * points**2 + 7 * dimension * (moved**2).sum()
    return total + 3 * n * width * posterior.factor.shape[1]


def cost(options):
    if not options.elements:
        found, _, crystal = oracle_fit(0)
        costs_of_sites(found.posterior, crystal)
        costs_of_cards(found.posterior, crystal)
    for element in options.elements:
        crystal = jp.Structure.of(bulk(element))
        print(f"{element}, recipe gap", flush=True)
        costs_of_sites(jp.fit(jp.datasets.mlearn(element, "train"), "gap", predictions=False).posterior, crystal)


def costs_of_sites(posterior, crystal):
    """Of what a simulation asks for, beside the forces of the mean."""
    cell = crystal.repeated((4, 4, 4))
    cell = cell.moved(cell.positions + 0.05 * np.random.default_rng(0).normal(size=(len(cell), 3)))
    potential, listed = posterior.potential, jp.neighbors(cell, posterior.potential.cutoff)
    committee, variance = posterior.sample(0, 8), jp.VariancePotential.of(posterior)
    programs = {
        "forces": jax.jit(lambda x: jp.forces(potential, cell.moved(x), listed)),
        "site variance and its gradient": jax.jit(lambda x: jp.evaluate(variance, cell.moved(x), listed)),
        "the same as a gradient of `variance`": jax.jit(jax.value_and_grad(
            lambda x: jp.variance(posterior, cell.moved(x), listed).sites.sum()
        )),
        "forces of 8 draws": jax.jit(lambda x: jp.evaluate(committee, cell.moved(x), listed).forces.std(0)),
        "bars of all forces, exact": lambda x: jp.std(posterior, cell.moved(x)),
    }
    times, rates, rate = {name: [] for name in programs}, [], product_rate()
    for program in programs.values():
        jax.block_until_ready(program(cell.positions))
    for _ in range(7):
        for name, program in programs.items():
            for _ in range(3):  # one after the other, as a simulation does
                start = time.perf_counter()
                jax.block_until_ready(program(cell.positions))
                times[name].append(time.perf_counter() - start)
        rates.append(rate() / 2.0)
    base = np.median(times["forces"])
    for name, own in times.items():
        print(f"{name}, {len(cell)} atoms: {1e3 * np.median(own):.1f} ms, {np.median(own) / base:.2f} x the forces")
    floor = products_of_bars(posterior, cell) / np.median(rates)
    print(f"floor of the exact bars, products at {np.median(rates) / 1e9:.1f} G multiply-adds/s: {1e3 * floor:.1f} ms; "
          f"they take {np.median(times['bars of all forces, exact']) / floor:.2f} x as long")


def costs_of_cards(posterior, crystal):
    potential = posterior.potential
    for what, bars in (("without", None), ("with bars", posterior)):
        start = time.perf_counter()
        property_card(potential, crystal, "Si", posterior=bars)
        print(f"card {what}: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    property_card(potential, crystal, "Si")
    warm = time.perf_counter() - start
    start = time.perf_counter()
    property_card(potential, crystal, "Si", posterior=posterior)
    print(f"again, nothing left to compile: {warm:.1f} s without, {time.perf_counter() - start:.1f} s with bars")


def select(options):
    """From a pool of 300: how many frames each way takes to a given bar, beginning with a fit to 10 frames."""
    for seed in range(5):
        jax.clear_caches()
        truth = jp.load(demo.ORACLE)
        crystal, _ = structure_from_spec("diamond:Si:a=5.431")
        cell = crystal.repeated((2, 2, 2))
        pool = jp.draw_dataset(truth, cell, 300, 100 + seed, **demo.DISTURBANCE)
        start = demo.with_free_atoms(jp.draw_dataset(truth, cell, 10, seed, **demo.DISTURBANCE), truth, crystal)
        recipe = replace(jp.read_recipe(demo.RECIPE), choice=demo.CHOICE)
        found = jp.fit(start, recipe, seed=seed, jitter=demo.JITTER, predictions=False)
        at_rest = relaxed_crystal(found.potential, crystal)
        posterior = jp.widened_near(found.posterior, at_rest)
        c44 = jp.propagate(posterior, lambda p, x: jp.elastic_constants(p, x).c44, at_rest)
        _, chosen = jp.select_frames(posterior, c44, [f.structure for f in pool], 20)
        rng, counts = np.random.default_rng(seed), []
        frames = [observed_frame(posterior, f.structure) for f in pool]
        slope = np.ravel(c44.slopes)
        for _ in range(10):
            precision, bars = np.eye(len(slope)), []
            for k in rng.permutation(len(pool))[:100]:
                rows = frames[k][0] / frames[k][1][:, None]
                precision += rows.T @ rows
                bars.append(np.sqrt(slope @ np.linalg.solve(precision, slope)))
            counts.append([int(np.searchsorted(-np.array(bars), -chosen[n - 1, 0])) + 1 for n in (5, 10, 20)])
        print(f"seed {seed}: bar of C44 {float(c44.std) / jp.units.GPa:.3f} GPa; "
              + ", ".join(f"{n} chosen frames reach {chosen[n - 1, 0] / jp.units.GPa:.4f}, at random {np.median(c):.0f}"
                          for n, c in zip((5, 10, 20), np.array(counts).T, strict=True)), flush=True)


def queries(options):
    found, train, crystal = oracle_fit(0)
    rng, lowest, count = np.random.default_rng(0), np.inf, 0
    cell = crystal.repeated((5, 5, 5))
    listed = None
    while count < 100_000:
        amplitude = rng.choice([0.0, 1e-6, 1e-3, 0.05, 0.3, 1.0])
        moved = cell.moved(cell.positions + amplitude * rng.normal(size=(len(cell), 3)))
        listed = jp.neighbors(moved, found.potential.cutoff, capacity=64)
        variance = jp.variance(found.posterior, moved, listed)
        lowest = min(lowest, float(variance.parametric.min()), float(variance.residual.min()))
        count += len(cell)
    for frame in train:
        variance = jp.variance(found.posterior, frame.structure)
        lowest = min(lowest, float(variance.parametric.min()), float(variance.residual.min()))
    print(f"{count} environments and those of the training set: smallest part of a variance {lowest:.3g} eV^2")
    alone = jp.Structure(np.zeros((2, 3)) + [[0, 0, 0], [1.2, 0, 0]], np.zeros((3, 3)), ["Si"] * 2, pbc=False)
    far = jp.variance(found.posterior, alone)
    prior = sum(float(t.readout.delta) ** 2 for t in found.potential.terms[1:])
    print(f"a dimer at 1.2 A, unlike all data: {far.sites} eV^2; a site of unit kernel and weight has {prior:.3g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("oracle", "samples", "mlearn", "cost", "select", "queries"))
    parser.add_argument("elements", nargs="*")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--recipe", default="gap", help="mlearn: of a linear model")
    parser.add_argument("--networks", action="store_true", help="mlearn: committees of networks, `jp.train`")
    parser.add_argument("--wide", action="store_true", help="samples: with the residual near the crystal")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    compile_sooner()
    asked = {"oracle": oracle, "samples": samples, "mlearn": mlearn, "cost": cost, "select": select, "queries": queries}
    asked[options.what](options)


if __name__ == "__main__":
    main()
