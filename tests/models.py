"""Models of every kind, small and correct, each with a structure: rows of the contract and of the table of properties."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jaxpot as jp
from jaxpot.basis.cubic_splines import CubicSpline
from jaxpot.basis.cutoffs import inside
from jaxpot.basis.quintic_splines import QuinticSpline, centres
from jaxpot.core import linalg
from jaxpot.core.precision import product
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors import (
    SOAP,
    Angular,
    AtomicEnvironmentVectors,
    Bond,
    Constant,
    Pair,
    Radial,
    SymmetryFunctions,
    Triangle,
    Triplet,
)
from jaxpot.errors import GeometryError
from jaxpot.kernels import DotProduct, Permuted, SquaredExponential
from jaxpot.potentials import (
    DTNN,
    EAM,
    MACE,
    ZBL,
    Buckingham,
    CHGNet,
    Constants,
    Described,
    FadedZBL,
    FinnisSinclair,
    Glue,
    LennardJones,
    MessagePassing,
    Morse,
    NequIP,
    Potential,
    SchNet,
    SecondMoment,
    SharedSums,
    SoftSphere,
    SplineEAM,
    StillingerWeber,
    Tersoff,
    WangFrenkel,
)
from jaxpot.readouts import MLP, Linear, Neural, SparseGP

COULOMB = 14.399645  # eV A
FILES = Path(__file__).parent / "formats" / "files"


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


def linear(descriptor):
    """A linear readout of a descriptor, with some weights."""
    return Linear(np.random.default_rng(3).normal(size=descriptor.dimension))


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


def small_ani():
    """ANI in miniature: environment vectors, and a network of its own size for each element."""
    vectors = AtomicEnvironmentVectors(
        ("C", "Si"), 3.9, 4.0, (1.2, 2.0, 2.8), 3.2, 3.0, (1.5, 2.3), 5.3, (0.4, 1.5, 2.7)
    )
    terms = []
    for element, hidden in (("C", (6, 4)), ("Si", (5, 3))):
        network = MLP.random(len(terms), vectors.dimension, hidden, "celu")
        readout = Neural(network, np.zeros(vectors.dimension), np.ones(vectors.dimension), 0.1, 9.0)
        terms.append(Described(vectors.replace(centers=(element,)), readout, ("C", "Si")))
    return sum(terms, Constants({"C": -2.0, "Si": -1.5}))


def two_bond_networks():
    """One for each two elements that are bound."""
    both = ("Si", "C")
    pairs = [("Si", "Si"), ("Si", "C"), ("C", "Si"), ("C", "C")]
    terms = (neural(Bond(3.6, both, pair, 2, 1, 1, fade="poly3"), *both) for pair in pairs)
    return sum(terms, Constants({"Si": -1.5, "C": -2.0}))


@pytree
class TwoHops(MessagePassing):
    """Pairs, and angles between states that have been handed on: a network of hops in miniature.

    h^0 = tanh(sum_j b(r_j)),  h^(k+1) = h^k + tanh(sum_j m_j + |sum_j m_j r_j / r_j|^2),  m_j = b(r_j) W_k h_j^k,
    E_i = w.h + 0.1 h.sum_j b(r_j) + sum_j D (x_j^2 - 2 x_j) / 2,  x = exp(-1.5 (r - 2.6))
    """

    weights: jax.Array  # (C,)
    mixing: jax.Array  # (hops, C, C)
    depth: jax.Array  # () eV
    cutoff: float = static(default=3.2)
    hops: int = static(default=2)

    smoothness = 5

    def basis(self, environment):
        mask, r = inside(environment.distances, self.cutoff)
        fade = jnp.where(mask, (1.0 - (r / self.cutoff) ** 2) ** 6, 0.0)
        centers = jnp.linspace(1.5, 3.0, self.weights.shape[0], dtype=r.dtype)
        radial = jnp.exp(-2.0 * (r[:, None] - centers) ** 2) * fade[:, None]
        return radial, environment.vectors / r[:, None], r, fade

    def start(self, environment):
        return jnp.tanh(self.basis(environment)[0].sum(0))

    def step(self, hop, environment, state, others):
        radial, directions, *_ = self.basis(environment)
        messages = radial * product(others, self.mixing[hop])
        dipole = (messages[:, :, None] * directions[:, None, :]).sum(0)
        return state + jnp.tanh(messages.sum(0) + (dipole * dipole).sum(-1))

    def site_energy(self, environment, state):
        radial, _, r, fade = self.basis(environment)
        of_states = jnp.sum(state * self.weights) + 0.1 * jnp.sum(radial.sum(0) * state)
        x = jnp.exp(-1.5 * (r - 2.6))
        return of_states + 0.5 * self.depth * jnp.sum((x - 2.0) * x * fade)


def hopping(hops=2, channels=3):
    rng = np.random.default_rng(0)
    mixing = 0.4 * rng.normal(size=(hops, channels, channels))
    return TwoHops(0.1 * rng.normal(size=channels), mixing, np.array(8.0), 3.2, hops)


def equivariant(*species, parity=True, channels=(3, 2, 1)):
    """A made-up network with vectors and tensors, and energies of the size of bonds."""
    network = NequIP.random(1, species, 3.4, channels, 2, 4, (4, 3), 6.0, parity)
    return network.replace(scale=2.0 * network.scale)


def higher_products(*species):
    """A made-up network with products of three sums over neighbours, and energies of the size of bonds."""
    network = MACE.random(1, species, 3.4, (2, 1), 2, 3, (3,), 6.0, harmonics=2, readout=3)
    return network.replace(scale=2.0 * network.scale)


def angular(*species, hops=3, norm=True, seed=3):
    """A made-up network with states of bonds and angles, and biases; with two hops, angles keep their first states."""
    network = CHGNet.random(seed, species, 3.6, 2.9, 4, hops, 3, 2, 0.3, norm)
    chance = np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.3 * chance.normal(size=a.shape), network)


def biased(network):
    """A made-up network whose biases are not zero."""
    chance = np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.1 * chance.normal(size=a.shape), network)


def close_packed():
    """Two atoms, which move against each other under strain."""
    a, c = 2.5, 4.1
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    return jp.Structure(np.array([[0, 0, 0], [1 / 3, 2 / 3, 1 / 2]]) @ cell, cell, ["Cu", "Cu"])


@pytree
class WaveVectors:
    """Integers (k, 3) of the reciprocal lattice, 1 or 0 for what fills the array up, and the cell they were made for."""

    integers: jax.Array
    used: jax.Array
    inverse: jax.Array

    def covers(self, structure):
        """Whether no length has changed by more than 5 %."""
        strain = product(self.inverse, structure.cell) - jnp.eye(3, dtype=structure.cell.dtype)
        return jnp.sqrt(jnp.sum(strain * strain)) < 0.05


@pytree
class Ewald(SharedSums):
    """Point charges that come with the structure, in a neutralising background, by P. P. Ewald, Ann. Phys. 369, 253 (1921).

    A toy: the precision of 1e-13 is paid for with many wave vectors.
    """

    factor: jax.Array  # () 1 / dielectric constant
    cutoff: float = static(default=6.0)

    needs = ("charges",)
    DECAY = 5.5  # erfc(5.5) = 7e-15

    def plan(self, structure):
        """All wave vectors up to 2 DECAY^2 / cutoff, and 5 % more."""
        if not all(structure.pbc):
            raise GeometryError(
                f"charges are summed here over periods along all three axes, got pbc={structure.pbc}: give a slab, or a "
                "molecule, empty space around it in a periodic cell"
            )
        cell = np.asarray(structure.cell, float)
        largest = 2.1 * self.DECAY**2 / self.cutoff
        most = np.floor(largest * np.linalg.norm(cell, axis=1) / (2.0 * np.pi)).astype(int)
        grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij"), -1).reshape(-1, 3)
        length = 2.0 * np.pi * np.linalg.norm(grid @ np.linalg.inv(cell).T, axis=1)
        grid = grid[(length > 0.0) & (length < largest)]
        spare = (1 << int(np.ceil(np.log2(len(grid) + 1)))) - len(grid)  # few sizes, few programs
        used = np.append(np.ones(len(grid)), np.zeros(spare))
        grid = np.append(grid, np.ones((spare, 3)), axis=0)
        return jax.tree.map(lambda a: a.astype(structure.cell.dtype), WaveVectors(grid, used, np.linalg.inv(cell)))

    def _waves(self, structure, plan):
        """Cosines and sines of all atoms, (n, k)."""
        fractional = product(structure.positions, linalg.inverse(structure.cell))
        phase = 2.0 * jnp.pi * product(fractional - jax.lax.stop_gradient(jnp.round(fractional)), plan.integers.T)
        return jnp.cos(phase), jnp.sin(phase)

    def sums(self, graph, counted):
        charges = jnp.where(counted, graph.structure.atom_data["charges"], 0.0)
        return (*(product(charges, wave) for wave in self._waves(graph.structure, graph.plan)), jnp.sum(charges))

    def site_energies_from(self, graph, sums):
        structure, plan, alpha = graph.structure, graph.plan, self.DECAY / self.cutoff
        charges, inverse, volume = structure.atom_data["charges"], linalg.inverse(structure.cell), structure.volume
        mask, r = inside(graph.distances, self.cutoff)
        near = jnp.where(mask, jax.scipy.special.erfc(alpha * r) / r, 0.0) * graph.at_neighbors(charges)
        waves = 2.0 * jnp.pi * product(plan.integers, inverse.T)
        square = jnp.where(plan.used > 0, jnp.sum(waves * waves, axis=1), 1.0)
        cosine, sine = self._waves(structure, plan)
        weight = plan.used * 4.0 * jnp.pi / volume * jnp.exp(-square / (4.0 * alpha**2)) / square
        potential = product(cosine, weight * sums[0]) + product(sine, weight * sums[1])
        potential = potential - 2.0 * alpha / math.sqrt(math.pi) * charges - np.pi / (volume * alpha**2) * sums[2]
        own = charges[graph.centers]
        return 0.5 * COULOMB * self.factor * own * (jnp.sum(near, axis=1) + potential[graph.centers])


@pytree
class Charges(Ewald):
    """Charges summed to 1e-8: an eighth of the wave vectors, for the supercells of phonons."""

    DECAY = 4.0


@pytree
class Crowd(Potential):
    """Atoms that feel how many there are, in no sum that is written apart."""

    local = False
    cutoff = 3.0

    def energy(self, graph):
        return 1.0 * jnp.sum(graph.structure.numbers > 0) ** 2


TOO_MANY_WAVES = {"skip": ("smoothness",)}  # for scans of thousands of distances


def salt(a=5.2):
    """Rock salt of silicon and carbon, ions of charge 1."""
    return rocksalt(a, ["Si", "C"]).replace(atom_data={"charges": [1.0, -1.0]})


def ions():
    """Charges, and a repulsion that keeps them apart."""
    return Ewald(np.array(1.0)) + Buckingham(900.0, 0.32, 0.0, 6.0, "smooth")


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
    "zbl, faded": (lambda: FadedZBL(("Mg", "O"), 0.5, 3.0), rocksalt(4.2, ["Mg", "O"])),
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
    "ani, two elements": (small_ani, diamond(4.6, ["Si", "C"])),
    "network of bonds": (lambda: neural(Bond(3.4, None, None, 3, 2, 2), "Si"), diamond(5.43, ["Si", "Si"])),
    "networks of bonds, two elements": (two_bond_networks, diamond(4.6, ["Si", "C"])),
    "linear in soap": (
        lambda: Described(SOAP(3, 2, 3.8, 0.8, compact=True), linear(SOAP(3, 2, 3.8, 0.8, compact=True)), ("Si",)),
        diamond(5.43, ["Si", "Si"]),
    ),
    "linear in a constant": (
        lambda: Described(Constant(("Si",)), Linear(np.array([-3.0])), ("Si",)), diamond(5.43, ["Si", "Si"])
    ),
    "snap, an element, quadratic": (lambda: jp.load(FILES / "quadratic.snapcoeff"), fcc(3.7, "Cu")),
    "snap, two elements": (lambda: jp.load(FILES / "two_kinds.snapcoeff"), rocksalt(5.2, ["Ta", "W"])),
    "snap, densities of two elements": (lambda: jp.load(FILES / "by_element.snapcoeff"), diamond(5.4, ["In", "P"])),
    "ace, an element, embedded": (lambda: jp.load(FILES / "embedded.yace"), fcc(3.7, "Cu")),
    "ace, two elements": (lambda: jp.load(FILES / "two_kinds.yace"), rocksalt(4.6, ["Ta", "W"])),
    "nep, an element": (lambda: jp.load(FILES / "one_kind.nep"), diamond(5.43, ["Si", "Si"])),
    "mtp, two elements": (lambda: jp.load(FILES / "two_kinds.mtp", species=("Ta", "W")), rocksalt(5.2, ["Ta", "W"])),
    "nep, two elements": (lambda: jp.load(FILES / "invariants.nep"), rocksalt(3.3, ["Mg", "O"])),
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
    "two hops with angles": (hopping, close_packed()),
    "two hops, a molecule": (hopping, molecule(["Si", "C", "C", "Si"], 2.0)),
    "nequip": (lambda: equivariant("Cu"), close_packed()),
    "nequip, two elements, without parity": (
        lambda: equivariant("C", "Si", parity=False, channels=(3, 2)), molecule(["Si", "C", "C", "Si"], 2.0)
    ),
    "mace, two elements": (lambda: higher_products("C", "Si"), molecule(["Si", "C", "C", "Si"], 2.0)),
    "chgnet, two elements": (lambda: angular("Si", "C", hops=2), diamond(4.6, ["Si", "C"]), {"directions": 2, "skip": ("parameters",)}),
    "chgnet, a molecule, without norms": (
        lambda: angular("Si", "C", norm=False, seed=7), molecule(["Si", "C", "C", "Si"], 2.0)
    ),
    "schnet, two elements": (
        lambda: biased(SchNet.random(0, ("Si", "C"), 3.6, (4,), 2, 4, (3,), 6.0)), diamond(4.6, ["Si", "C"])
    ),
    "dtnn, two elements": (
        lambda: biased(DTNN.random(0, ("Si", "C"), 3.6, (4,), 2, 4, (5,), 6.0)), diamond(4.6, ["Si", "C"])
    ),
    "charges in a crystal": (lambda: Ewald(np.array(0.8)), salt(), TOO_MANY_WAVES),
    "ions": (ions, salt(), TOO_MANY_WAVES),
    # Sums of a GAP with another kind: derivatives by parameters are those of the parts, which have rows of their own.
    "gap and two hops": (
        lambda: small_gap() + 0.5 * hopping(), diamond(4.6, ["Si", "C"]), {"directions": 2, "skip": ("parameters",)}
    ),
    "gap and charges": (
        lambda: small_gap() + ions(), diamond(4.6, ["Si", "C"]).replace(atom_data={"charges": [1.0, -1.0]}),
        {"directions": 2, "skip": ("parameters", "smoothness")},
    ),
}
