"""Every model keeps the contract, and the contract finds every model that does not."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.basis.cubic_splines import CubicSpline
from jaxpot.basis.cutoffs import inside
from jaxpot.basis.quintic_splines import QuinticSpline, centres
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors import SOAP, Angular, Bond, Pair, Radial, SymmetryFunctions, Triangle, Triplet
from jaxpot.kernels import DotProduct, Permuted, SquaredExponential
from jaxpot.potentials import (
    EAM,
    ZBL,
    Buckingham,
    Constants,
    Described,
    FinnisSinclair,
    Glue,
    LennardJones,
    Morse,
    Potential,
    SecondMoment,
    SoftSphere,
    SplineEAM,
    StillingerWeber,
    Tersoff,
    WangFrenkel,
)
from jaxpot.readouts import MLP, Neural, SparseGP
from jaxpot.testing import CHECKS, ContractError, check

FILES = Path(__file__).parents[1] / "formats" / "files"


def diamond(a, species):
    return jp.Structure(np.array([[0, 0, 0], [a / 4] * 3]), a / 2 * (1 - np.eye(3)), species)


def fcc(a, element):
    return jp.Structure(np.zeros((1, 3)), a / 2 * (1 - np.eye(3)), [element])


def bcc(a, element):
    return jp.Structure(np.zeros((1, 3)), a / 2 * (np.ones((3, 3)) - 2 * np.eye(3)), [element])


def rocksalt(a, species):
    return jp.Structure(np.array([[0, 0, 0], [a / 2, 0, 0]]), a / 2 * (1 - np.eye(3)), species)


def molecule(species, size):
    positions = np.random.default_rng(0).normal(scale=0.1 * size, size=(len(species), 3))
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], float)[: len(species)]
    return jp.Structure(positions + size * corners, np.zeros((3, 3)), species, pbc=False)


def small_eam(*species):
    """Made-up metals whose tables end smoothly."""
    r, rho = np.linspace(0.0, 5.0, 101), np.linspace(0.0, 60.0, 61)
    tail = (1.0 - r / 5.0) ** 4
    embedding, density, pair = [], [], []
    for k in range(len(species)):
        embedding.append(-(0.9 + 0.2 * k) * np.sqrt(rho) + 0.01 * rho)
        density.append((6.0 - k) * np.exp(-2.0 * (r / (2.6 + 0.1 * k) - 1.0)) * tail)
        for m in range(k + 1):
            x = r / (2.6 + 0.05 * (k + m)) - 1.0
            pair.append(r * (0.8 + 0.1 * m) * (np.exp(-4.0 * x) - 1.2 * np.exp(-2.0 * x)) * tail)
    return EAM(np.array(embedding), np.array(density), np.array(pair), 1.0, 0.05, 5.0, species)


def small_spline_eam(*species):
    """Made-up metals with few knots, unevenly spaced."""
    breaks = (0, 2, 3, 4, 6, 10)
    centers = centres(breaks)
    rho, r = 6.0 * np.maximum(centers, 0.0), 1.0 + 0.4 * centers[:5]
    embedding, density, pair = [], [], []
    for k in range(len(species)):
        embedding.append(QuinticSpline(-(0.9 + 0.2 * k) * np.sqrt(rho) + 0.01 * rho, 0.0, 6.0, breaks))
        density.append(QuinticSpline((6.0 - k) * np.exp(-r), 1.0, 0.4, breaks, True))
        for m in range(k + 1):
            x = np.exp(-1.5 * (r / (2.6 + 0.05 * (k + m)) - 1.0))
            pair.append(QuinticSpline((0.8 + 0.1 * m) * r * (x - 1.2) * x, 1.0, 0.4, breaks, True))
    return SplineEAM(embedding, density, pair, species)


def small_glue():
    """Made-up pairs, of which one does not interact, and an embedding energy."""
    pairs = {
        ("Si", "Si"): CubicSpline([1.0, 1.8, 2.5, 3.1], [9.0, 2.0, 0.4, 0.0], [-12.0, 0.0]),
        ("C", "Si"): CubicSpline([1.0, 1.7, 2.2, 2.9], [8.0, 2.0, 0.7, 0.0], [-10.0, 0.0]),
    }
    embedding = (
        CubicSpline([0.1, 0.8, 1.5, 3.0], [0.3, -1.0, -2.5, -3.0]),
        CubicSpline([0.1, 0.6, 1.5], [0.1, -1.5, -1.7], [-4.0, 0.4]),
    )
    return Glue(pairs, ("Si", "C"), embedding, [0.05, 0.04], [3.6, 3.9])


def silicon_carbide():
    """Tersoff's numbers of 1989, C and Si."""
    return Tersoff(
        A=[1393.6, 1830.8], B=[346.7, 471.18], lam=[3.4879, 2.4799], mu=[2.2119, 1.7322], beta=[1.5724e-7, 1.1e-6],
        n=[0.72751, 0.78734], c=[38049.0, 100390.0], d=[4.384, 16.217], h=[-0.57058, -0.59825], R=[1.8, 2.7],
        S=[2.1, 3.0], chi=[[1.0, 0.9776], [0.9776, 1.0]], species=("C", "Si"),
    )


def gaussian_process(descriptor, kernel, *species):
    """A made-up Gaussian process with a few sparse points."""
    rng = np.random.default_rng(7)
    if isinstance(descriptor, SOAP):
        points = np.abs(rng.normal(size=(5, descriptor.dimension)))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    else:
        points = np.stack([np.linspace(0.8, 1.3, 5) * mean for mean in (5.0, 0.3, 3.3)[: descriptor.dimension]], axis=1)
    return Described(descriptor, SparseGP(kernel, points, 0.3 * rng.normal(size=5), 0.7), species)


def small_gap():
    """Every kind of descriptor for two elements."""
    soap = SOAP(3, 2, 3.6, 0.8, species=("Si", "C"), compact=True)
    return sum(
        (
            gaussian_process(Pair(3.6, 0.6, ("Si", "C")), SquaredExponential(0.7), "Si", "C"),
            gaussian_process(Triplet(2.9, 0.6, ("Si", "C", "C")), SquaredExponential([0.9, 0.5, 0.6]), "Si", "C"),
            gaussian_process(soap.replace(centers=("Si",)), DotProduct(2), "Si", "C"),
            gaussian_process(soap.replace(centers=("C",)), DotProduct(2), "Si", "C"),
        ),
        Constants({"Si": -1.5, "C": -2.0}),
    )


def neural(descriptor, *species):
    """A made-up network that reads a descriptor."""
    rng = np.random.default_rng(3)
    network = MLP.random(1, descriptor.dimension, (5, 4))
    network = network.replace(biases=[0.1 * rng.normal(size=b.shape) for b in network.biases])
    width = descriptor.dimension
    readout = Neural(network, 0.2 * rng.normal(size=width), 0.7 + 0.2 * rng.normal(size=width), -1.0, 0.4)
    return Described(descriptor, readout, species)


def two_networks():
    """One for each element, which see each other."""
    functions = (
        Radial(0.2, 0.0, 3.6, "Si"), Radial(1.5, 2.0, 3.6, "C"), Radial(0.4, 0.0, 3.6, None, True),
        Angular(0.05, 2, 1, 3.4, 0.0, ("Si", "C")), Angular(0.1, 2, 1, 3.4, 0.0, ("Si", "C")),
        Angular(0.05, 1, -1, 3.4, 1.0, ("C", "C")), Angular(0.05, 4, -1, 3.6, 0.0, None, False),
    )
    return sum(
        (
            neural(SymmetryFunctions(functions, "poly3", 0.2, ("C",)), "Si", "C"),
            neural(SymmetryFunctions(functions[:4], "poly2", 0.0, ("Si",)), "Si", "C"),
        ),
        Constants({"Si": -1.5, "C": -2.0}),
    )


def two_bond_networks():
    """One for each two elements that are bound."""
    both = ("Si", "C")
    pairs = [("Si", "Si"), ("Si", "C"), ("C", "Si"), ("C", "C")]
    terms = (neural(Bond(3.6, both, pair, 2, 1, 1, fade="poly3"), *both) for pair in pairs)
    return sum(terms, Constants({"Si": -1.5, "C": -2.0}))


MIXED = {"epsilon": {"Ar": 0.0104, "Kr": 0.0140}, "sigma": {"Ar": 3.4, "Kr": 3.65}}
SILICON = StillingerWeber.silicon()

# One row for each model: name, how it is made, a structure to try it on, options of `check` if need be.
MODELS = {
    "constants": (lambda: Constants({"Si": -1.5, "C": -2.0}), diamond(5.43, ["Si", "C"])),
    "lj, truncated": (lambda: LennardJones(0.0104, 3.4, 7.0), fcc(5.26, "Ar")),
    "lj, energy shifted": (lambda: LennardJones(0.0104, 3.4, 7.0, shift="energy"), fcc(5.26, "Ar")),
    "lj, slope shifted": (lambda: LennardJones(0.0104, 3.4, 7.0, shift="slope"), fcc(5.26, "Ar")),
    "lj, force shifted": (lambda: LennardJones(0.0104, 3.4, 7.0, shift="force"), fcc(5.26, "Ar")),
    "lj, smooth, two elements": (
        lambda: LennardJones(**MIXED, cutoff=7.0, shift="smooth", mixing="lorentz-berthelot"),
        rocksalt(7.4, ["Ar", "Kr"]),
    ),
    "zbl": (lambda: ZBL(2.0, 4.0), diamond(5.0, ["Si", "C"])),
    "zbl, named elements": (lambda: ZBL(2.0, 4.0, ("Si", "C")), molecule(["Si", "C", "Si"], 2.2)),
    "stillinger-weber": (StillingerWeber.silicon, diamond(5.43, ["Si", "Si"])),
    "stillinger-weber, two elements": (
        lambda: jp.load(FILES / "two_kinds.sw"),
        diamond(5.55, ["Si", "Ge"]),
    ),
    "second moment": (SecondMoment.copper, fcc(3.615, "Cu")),
    "second moment, two elements": (
        lambda: SecondMoment(
            [[0.09, 0.15], [0.15, 0.2]], [[1.2, 1.5], [1.5, 1.8]], [[11, 10.8], [10.8, 10.2]], [[2.3, 3.0], [3.0, 4.0]],
            [[2.55, 2.7], [2.7, 2.88]], 5.6, species=("Cu", "Au"),
        ),
        rocksalt(5.0, ["Cu", "Au"]),
    ),
    "finnis-sinclair": (lambda: FinnisSinclair.metal("Fe"), bcc(2.8, "Fe")),
    "finnis-sinclair, two elements": (
        lambda: FinnisSinclair(
            [1.9, 2.6], [[4.4, 4.2], [4.2, 4.0]], [[0.1, 0.0], [0.0, 0.3]], [[3.3, 3.6], [3.6, 4.1]],
            [[47.0, 9.0], [9.0, 1.2]], [[-33.0, -5.0], [-5.0, 0.1]], [[6.2, 1.0], [1.0, -0.1]], ("W", "Ta"),
        ),
        rocksalt(5.2, ["W", "Ta"]),
    ),
    "eam": (lambda: small_eam("Cu"), fcc(3.6, "Cu")),
    "eam, two elements": (lambda: small_eam("Ni", "Al"), rocksalt(5.0, ["Ni", "Al"])),
    "eam, densities of pairs": (lambda: jp.load(FILES / "two_metals.eam.fs"), rocksalt(5.0, ["Fe", "Zr"])),
    "eam, mixed from two files": (
        lambda: jp.load([FILES / "copper.eam", FILES / "nickel.eam"]), rocksalt(5.0, ["Cu", "Ni"])
    ),
    "eam, splines, two elements": (lambda: small_spline_eam("Ni", "Al"), rocksalt(5.0, ["Ni", "Al"])),
    "glue": (lambda: small_glue(), diamond(4.2, ["Si", "C"])),
    "morse, two elements": (
        lambda: Morse([[0.6, 0.5], [0.5, 0.8]], [[1.3, 1.5], [1.5, 1.7]], [[2.4, 2.1], [2.1, 1.8]], 5.0, ("Si", "C")),
        diamond(4.6, ["Si", "C"]),
    ),
    "morse, smooth": (lambda: Morse(0.6, 1.3, 2.4, 5.0, shift="smooth"), fcc(3.6, "Cu")),
    "buckingham, force shifted, two elements": (
        lambda: Buckingham(
            {("Mg", "Mg"): 900.0, ("Mg", "O"): 1300.0, ("O", "O"): 2000.0},
            {("Mg", "Mg"): 0.29, ("Mg", "O"): 0.3, ("O", "O"): 0.31},
            {("Mg", "Mg"): 1.0, ("Mg", "O"): 5.0, ("O", "O"): 27.0}, 6.0, "force",
        ),
        rocksalt(4.2, ["Mg", "O"]),
    ),
    "soft spheres, smooth": (lambda: SoftSphere(0.01, 3.4, 6.0, 12, "smooth"), fcc(5.0, "Ar")),
    "soft spheres, two elements": (
        lambda: SoftSphere(
            [[0.01, 0.02], [0.02, 0.03]], [[3.4, 3.5], [3.5, 3.6]], 6.0, [[9, 10], [10, 12.5]], "energy", ("Ar", "Kr")
        ),
        rocksalt(7.0, ["Ar", "Kr"]),
    ),
    "wang-frenkel, two elements": (
        lambda: WangFrenkel(
            [[0.01, 0.012], [0.012, 0.015]], [[3.4, 3.5], [3.5, 3.6]], [[6.8, 6.5], [6.5, 7.0]], species=("Ar", "Kr")
        ),
        rocksalt(7.0, ["Ar", "Kr"]),
    ),
    "wang-frenkel, smoother": (lambda: WangFrenkel(0.01, 3.4, 7.0, nu=2, mu=2), fcc(5.2, "Ar")),
    # The energy at the cutoff goes with the power 1.45 of the distance from it, which looks like a small jump.
    "tersoff, two elements": (silicon_carbide, diamond(5.4, ["Si", "C"]), {"jump": 1e-9}),
    "tersoff, triplets of two elements": (
        lambda: jp.load(FILES / "two_kinds.tersoff"), diamond(5.1, ["Si", "C"]), {"jump": 1e-9}
    ),
    "meam, two elements": (
        lambda: jp.load([FILES / "made_up.library.meam", FILES / "two_kinds.meam"], species=("Si", "Mg")),
        rocksalt(5.2, ["Si", "Mg"]),
    ),
    "gap, soap": (
        lambda: gaussian_process(SOAP(3, 2, 3.8, 0.8, compact=True), DotProduct(3), "Si"), diamond(5.43, ["Si", "Si"])
    ),
    "gap, triangles": (
        lambda: gaussian_process(
            Triangle(2.9, 0.6, ("Si", "C", "C"), compact=False), Permuted(SquaredExponential(2.0), [(0, 1, 2), (0, 2, 1)]),
            "Si", "C",
        ),
        molecule(["Si", "C", "C", "Si"], 2.0),
    ),
    "gap, sum for two elements": (small_gap, diamond(4.6, ["Si", "C"])),
    "network, symmetry functions": (
        lambda: neural(SymmetryFunctions.automatic(None, 3.8, 3, 2, fade="cosine"), "Si"), diamond(5.43, ["Si", "Si"])
    ),
    "networks, symmetry functions, two elements": (two_networks, diamond(4.6, ["Si", "C"])),
    "network of bonds": (lambda: neural(Bond(3.4, None, None, 3, 2, 2), "Si"), diamond(5.43, ["Si", "Si"])),
    "networks of bonds, two elements": (two_bond_networks, diamond(4.6, ["Si", "C"])),
    "network, soap": (lambda: neural(SOAP(3, 2, 3.8, 0.8, compact=True), "Si"), diamond(5.43, ["Si", "Si"])),
    "sum": (lambda: SILICON + ZBL(1.5, 3.0) + Constants({"Si": 3.0}), diamond(5.43, ["Si", "Si"])),
    "scaled": (lambda: 0.5 * SILICON, diamond(5.43, ["Si", "Si"])),
    "difference of metals": (
        lambda: SecondMoment.copper() - 0.1 * LennardJones(0.4, 2.3, 5.0, shift="smooth"),
        fcc(3.6, "Cu"),
    ),
    "a slab": (
        StillingerWeber.silicon,
        jp.Structure(
            diamond(5.43, ["Si", "Si"]).positions,
            diamond(5.43, ["Si", "Si"]).cell,
            [14, 14],
            pbc=(True, True, False),
        ),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_contract(name):
    make, structure, *options = MODELS[name]
    report = check(make(), structure, **dict(*options))
    assert report.passed and len(report.outcomes) > 20


# Models that are wrong, each in one way, and what must be said about it.


class Wrong(Potential):
    """A Morse-like pair that ends smoothly; the broken models change one thing each."""

    cutoff = 4.0
    smoothness = 3

    def pair(self, r):
        return self.strength * (jnp.exp(-2.0 * (r - 2.4)) - 2.0 * jnp.exp(-(r - 2.4)))

    def fade(self, r):
        return (1.0 - (r / self.cutoff) ** 2) ** 4

    def pairs(self, environment):
        mask, r = inside(environment.distances, self.cutoff)
        return jnp.where(mask, self.pair(r) * self.fade(r), 0.0)

    def site_energy(self, environment):
        return 0.5 * jnp.sum(self.pairs(environment))


@pytree
class Right(Wrong):
    strength: jax.Array


@pytree
class Kink(Wrong):
    """The force jumps at the cutoff."""

    strength: jax.Array

    def fade(self, r):
        return 1.0 - r / self.cutoff


@pytree
class InnerKink(Wrong):
    """The second derivative jumps at 3 A."""

    strength: jax.Array

    def fade(self, r):
        return Wrong.fade(self, r) + 1e-3 * jnp.maximum(r - 3.0, 0.0) ** 2 * (4.0 - r) ** 4


@pytree
class Step(Wrong):
    """The energy jumps at the cutoff by a nano electronvolt."""

    strength: jax.Array

    def fade(self, r):
        return Wrong.fade(self, r) + 1e-8


@pytree
class NotExtensive(Wrong):
    """The energy is the square of a sum over all atoms."""

    strength: jax.Array
    local = False

    def site_energies(self, graph):
        sites = jnp.where(graph.real, jax.vmap(self.site_energy)(graph.environments()), 0.0)
        return sites * jnp.sum(sites)


@pytree
class CountsPadding(Wrong):
    """Padded rows enter a sum over all rows."""

    strength: jax.Array
    local = False

    def site_energies(self, graph):
        sites = jax.vmap(self.site_energy)(graph.environments())
        return sites + 1e-3 * jnp.mean(sites)


@pytree
class NaNBeyond(Wrong):
    """A root that is cut by `where` only afterwards: empty places poison the derivatives."""

    strength: jax.Array

    def site_energy(self, environment):
        r = environment.distances
        bump = self.strength * jnp.where(r < self.cutoff, jnp.sqrt(self.cutoff - r) ** 9, 0.0)
        return 0.5 * jnp.sum(bump)


@pytree
class NaNHessian(Wrong):
    """|dipole|^3 has two derivatives everywhere, but JAX finds 0/0 for the second where the dipole vanishes."""

    strength: jax.Array

    def site_energy(self, environment):
        dipole = jnp.sum(self.pairs(environment)[:, None] * environment.vectors, axis=0)
        return jnp.dot(dipole, dipole) ** 1.5


@pytree
class NaNForward(Wrong):
    """The power of a sum that is zero without neighbours: 0/0 in the second derivative of an empty row."""

    strength: jax.Array

    def site_energy(self, environment):
        return jnp.sum(self.pairs(environment) ** 2) ** 1.5


@jax.custom_vjp
def _square(x):
    return x * x


_square.defvjp(lambda x: (x * x, x), lambda x, g: (2.001 * x * g,))


@pytree
class WrongForces(Wrong):
    """A hand-written derivative that is off by half a thousandth."""

    strength: jax.Array

    def site_energy(self, environment):
        return _square(0.5 * jnp.sum(self.pairs(environment)))


@pytree
class Directional(Wrong):
    """Neighbours along z count more."""

    strength: jax.Array

    def site_energy(self, environment):
        z = environment.z / environment.distances
        return 0.5 * jnp.sum(self.pairs(environment) * (1.0 + 1e-6 * z * z))


@pytree
class Chiral(Wrong):
    """A triple product: turns with the crystal, but not with its mirror image."""

    strength: jax.Array

    def site_energy(self, environment):
        w = self.pairs(environment)
        u = environment.vectors / environment.distances[:, None]
        a, b, c = (jnp.sum((w * environment.distances**k)[:, None] * u, axis=0) for k in (0, 1, 2))
        return 0.5 * jnp.sum(w) + 0.1 * jnp.dot(a, jnp.cross(b, c))


@pytree
class FirstNeighbour(Wrong):
    """The first neighbour of the list is special: depends on an order that means nothing."""

    strength: jax.Array

    def site_energy(self, environment):
        return 0.5 * jnp.sum(self.pairs(environment).at[3].multiply(1.1))


@pytree
class ReadsPadding(Wrong):
    """Reads beyond its cutoff: depends on how long the list is."""

    strength: jax.Array

    def site_energy(self, environment):
        return 0.5 * jnp.sum(self.pairs(environment)) + 1e-9 * self.strength * jnp.sum(environment.distances)


@pytree
class NoForces(Wrong):
    """The gradient has been stopped."""

    strength: jax.Array

    def site_energy(self, environment):
        return 0.5 * jax.lax.stop_gradient(jnp.sum(self.pairs(environment)))


@pytree
class DeadParameter(Wrong):
    strength: jax.Array
    width: jax.Array


@pytree
class IntegerParameter(Wrong):
    strength: jax.Array
    power: jax.Array


@pytree
class ForcedDouble(Wrong):
    """A NumPy double in a formula: everything becomes float64."""

    strength: jax.Array

    def pair(self, r):
        return Wrong.pair(self, r) * jnp.asarray(np.float64(1.0))


@pytree
class TracedBranch(Wrong):
    """An `if` on a traced value."""

    strength: jax.Array

    def site_energy(self, environment):
        return jnp.sum(self.pairs(environment)) if environment.distances[0] < 3.0 else 0.0


@pytree
class SevereCutoff(Wrong):
    """Declares a shorter cutoff than its formula has."""

    strength: jax.Array
    cutoff: float = static(default=2.6)

    def pairs(self, environment):
        r = jnp.minimum(environment.distances, 3.9)
        return self.pair(r) * (1.0 - (r / 3.9) ** 2) ** 4


ONE = jnp.asarray
CRYSTAL = diamond(5.0, ["Si", "Si"])
# Name: the model, the check that must find it, and what it must say.
BROKEN = {
    "kink": (Kink, "smoothness", r"force \(eV/A\) at the cutoff.*declared smoothness 3"),
    "inner kink": (InnerKink, "smoothness", r"second derivative .* anywhere.*at r = 3\.0000\d\d A, Si-Si"),
    "step": (Step, "smoothness", r"energy \(eV\) at the cutoff"),
    "not extensive": (NotExtensive, "extensivity", r"twice the system, energy"),
    "counts padding": (CountsPadding, "padding", r"none, and a longer list, energy"),
    "nan beyond": (NaNBeyond, "special places", r"finite to third order.*forces of a pair one ulp beyond"),
    "nan in the hessian": (NaNHessian, "special places", r"second derivatives of three in a row"),
    "nan in an empty row": (NaNForward, "smoothness", r"second derivative .* nan"),
    "wrong forces": (WrongForces, "forces", r"-dE/dr .*e-04 \(limit 1e-08\)"),
    "once differentiable": (WrongForces, "smoothness", r"(TypeError|NotImplementedError): "),
    "directional": (Directional, "invariance", r"rotation, energy"),
    "chiral": (Chiral, "invariance", r"mirror image, energy"),
    "first neighbour": (FirstNeighbour, "invariance", r"rotation of the structure as given"),
    "reads padding": (ReadsPadding, "padding", r"none, and a longer list, energy"),
    "no forces": (NoForces, "forces", r"not all zero"),
    "dead parameter": (
        lambda x: DeadParameter(x, 2 * x),
        "parameters",
        r"width not zero .*changes nothing here",
    ),
    "integer parameter": (
        lambda x: IntegerParameter(x, jnp.asarray(2)),
        "parameters",
        r"must be floating .*: power",
    ),
    "forced double": (ForcedDouble, "single precision", r"energy came back in another precision"),
    "severe cutoff": (SevereCutoff, "padding", r"none, and a longer list, energy"),
}


def test_the_right_one_is_right():
    assert check(Right(ONE(1.0)), CRYSTAL).passed


def test_the_rounding_of_a_table_is_forgiven_on_request():
    others = [name for name in CHECKS if name != "smoothness"]
    assert check(Step(ONE(1.0)), CRYSTAL, skip=others, jump=1e-7).passed


def test_mirror_images_may_be_left_out_by_name():
    names = [o.name for o in check(Right(ONE(1.0)), CRYSTAL, skip=("invariance", "saving")).outcomes]
    assert "invariance" in names and not any("mirror" in name for name in names)
    with pytest.raises(jp.errors.DataError, match="unknown names .*'mirror'.*expected some of .*invariance"):
        check(Right(ONE(1.0)), CRYSTAL, skip=("mirror",))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_are_caught(name):
    make, which, message = BROKEN[name]
    with pytest.raises(ContractError, match=message) as caught:
        check(make(ONE(1.0)), CRYSTAL, directions=2, skip=[other for other in CHECKS if other != which])
    assert isinstance(caught.value, jp.JaxpotError) and isinstance(caught.value, AssertionError)
    assert not caught.value.report.passed and "passed" not in str(caught.value)


def test_code_that_cannot_be_traced_is_not_hidden():
    with pytest.raises(TypeError, match="[Tt]racer"):
        check(TracedBranch(ONE(1.0)), CRYSTAL)


def test_wrong_arguments():
    with pytest.raises(jp.errors.DataError, match="expected a jaxpot potential .* got str"):
        check("sw-silicon", CRYSTAL)
    with pytest.raises(jp.errors.DataError, match="1 to 32 atoms, got 64"):
        check(Right(ONE(1.0)), CRYSTAL.repeated((4, 4, 2)))
    with pytest.raises(jp.errors.DataError, match="at least two atoms"):
        check(Right(ONE(1.0)), jp.Structure(np.zeros((1, 3)), np.eye(3), ["Si"], pbc=False))
    assert set(CHECKS) >= {"forces", "smoothness", "parameters"}
