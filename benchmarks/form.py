"""How near do formulas come to density functional theory, with published parameters and with ones fitted here?

Stillinger-Weber and Tersoff for silicon, a second-moment potential for copper: searched for in the training sets of Zuo
et al. (J. Phys. Chem. A 124, 731 (2020)) together with the lattice constant and elastic constants, and mean absolute
errors on the test sets before and after. Energies are less a constant, fitted, for each potential: the data have no
isolated atoms, so the depth of the wells (SW's epsilon among it) follows from forces and elastic constants.

    python benchmarks/form.py [sw tersoff gupta] [--no-targets] [--starts 32] [--refined 4]
"""

import argparse
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner

TERSOFF = jp.potentials.Tersoff(
    A=1830.8, B=471.18, lam=2.4799, mu=1.7322, beta=1.1e-6, n=0.78734, c=1.0039e5, d=16.217, h=-0.59825, R=2.7, S=3.0,
    species=("Si",),
)
# name -> element, first values, what is free with its bounds. Fixed: what only scales (epsilon beside A and lambda, r0
# beside A and xi), and Tersoff's cutoffs.
CASES = {
    "sw": ("Si", jp.potentials.StillingerWeber.silicon(), {
        "sigma": (1.8, 2.5), "a": (1.5, 2.1), "lam": (2.0, 60.0), "gamma": (0.3, 3.0), "A": (2.0, 28.0),
        "B": (0.15, 2.4), "cos_theta0": (-0.7, 0.0),
    }),
    "tersoff": ("Si", TERSOFF, {
        "A": (900.0, 3700.0), "B": (150.0, 1000.0), "lam": (1.8, 3.3), "mu": (1.0, 2.3), "beta": (1e-8, 1.0),
        "n": (0.3, 3.0), "c": (1e4, 4e5), "d": (3.0, 40.0), "h": (-0.9, -0.2),
    }),
    "gupta": ("Cu", jp.potentials.SecondMoment.copper(), {
        "A": (0.02, 0.35), "xi": (0.3, 4.0), "p": (6.0, 20.0), "q": (0.6, 5.0),
    }),
}
# A and GPa: about what density functional theory (PBE) gives.
MEASURED = {"Si": (5.469, 156.0, 65.0, 76.0), "Cu": (3.621, 173.0, 133.0, 88.0)}
SIGMAS = {"energy": 0.02, "forces": 0.2}
NAMES = "a0 C11 C12 C44"


def properties(element, atoms_per_cube):
    """A function from a potential to the lattice constant (A) and three elastic constants (GPa)."""
    start = bulk(element, a=MEASURED[element][0])

    def function(potential):
        crystal = jp.relax(potential, start, cell=True).structure
        c = jp.elastic_constants(potential, crystal)
        a0 = (atoms_per_cube / len(start) * crystal.volume) ** (1.0 / 3.0)
        return jnp.stack([a0, *(constant / jp.units.GPa for constant in (c.c11, c.c12, c.c44))])

    return function


def errors(potential, train, test):
    """Mean absolute errors of a test set: energies (meV/atom) less the mean of the training set, forces (eV/A)."""
    shift = np.mean(jp.predict(potential, train).differences("energy"))
    found = jp.predict(potential, test)
    energies = np.concatenate(found.differences("energy")) - shift
    return 1e3 * np.abs(energies).mean(), found.errors()["all"]["forces"]["mae"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--no-targets", action="store_true")
    parser.add_argument("--starts", type=int, default=32)
    parser.add_argument("--refined", type=int, default=4)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    compile_sooner()
    for case in options.cases:
        element, first, bounds = CASES[case]
        train, test = (jp.datasets.mlearn(element, split) for split in ("train", "test"))
        function = properties(element, 8 if element == "Si" else 4)
        target = jp.Target(NAMES, function, MEASURED[element], (0.01, 5.0, 5.0, 5.0))
        start = time.perf_counter()
        found = jp.fit_form(
            first, train, free=list(bounds), bounds=bounds, targets=[] if options.no_targets else [target],
            sigmas=SIGMAS, starts=options.starts, refined=options.refined,
            progress=(lambda text: print(f"  {text}", flush=True)) if options.verbose else None,
        )
        seconds = time.perf_counter() - start
        print(found)
        for name, potential in (("published", first), ("fitted", found.potential)):
            energy, forces = errors(potential, train, test)
            reached = ", ".join(f"{value:.4g}" for value in np.asarray(function(potential)))
            print(f"{case} {name}: {energy:.1f} meV/atom, {forces:.4f} eV/A; {NAMES} {reached}")
        print(f"{case}: wanted {MEASURED[element]}; {seconds:.0f} s, {dict(found.seconds)}", flush=True)


if __name__ == "__main__":
    main()
