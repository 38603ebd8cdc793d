"""Every verb on every kind of model: it works, or says why not and what to do instead.

    python tests/contracts/table.py --write                    all cells, and notebooks/what_works.md
    python tests/contracts/table.py --verb relax --kind GAP    some cells, with their times

A new kind of model is one row of `KINDS`, a new verb one function with `@verb`. A verb returns if what it did agrees with
a second route, or with what must hold of it; a refusal is a `JaxpotError`, and anything else is a bug.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    jax.config.update("jax_enable_x64", True)

from models import FILES, Charges, angular, biased, diamond, equivariant, fcc, higher_products, hopping, rocksalt

import jaxpot as jp
from jaxpot import md
from jaxpot.cli.cache import use_cache
from jaxpot.cli.compiler import compile_sooner, silence
from jaxpot.core.save import load_tree, save_tree
from jaxpot.data.descriptor_vectors import descriptor_vectors
from jaxpot.data.padded_frames import Prepared
from jaxpot.errors import JaxpotError, JaxpotWarning
from jaxpot.interop.lammps.pair import domain_of
from jaxpot.potentials import Buckingham, Morse, SchNet, StillingerWeber
from jaxpot.report.card import property_card
from jaxpot.units import GPa, fs

PAGE = Path(__file__).parents[2] / "notebooks" / "what_works.md"
YES, MARK = "yes", "✓"
ABOUT = """# What works with what

Each cell has been tried with a small model and its crystal, and what came out agrees with a second route or with what must
hold of it; or it was refused, for the reason and with the remedy whose number stands there. The columns: Morse pairs,
Stillinger-Weber, a fitted GAP (pairs and SOAP), a fitted model that is linear in the components of SOAP, a trained network,
a trained model that hands states on over two hops, charges that are summed by Ewald's method beside Buckingham pairs,
sums of these, networks of several hops with made-up weights beside Morse pairs that hold the crystal together, fitted SNAP
and linear ACE, ACE whose densities are embedded with made-up numbers beside pairs, and moment tensors (MTP) and NEP that
are trained beside them.
`tests/contracts/table.py` is the code, and `python tests/contracts/table.py --write` makes this page.
"""
REFUSALS = "The refusals, word by word:\n"


# Kinds of models -------------------------------------------------------------------------------------------------


COPPER = Morse(0.3429, 1.3588, 2.866, 5.5, shift="smooth")  # L. A. Girifalco, V. G. Weizer, Phys. Rev. 114, 687 (1959)
IONS = Charges(np.array(1.0)) + Buckingham(900.0, 0.32, 0.0, 5.0, "smooth")
BONDS = Morse(0.1, 1.3, 2.6, 4.5, shift="smooth")  # beside the charges, what a GAP has to find
HOPS = 0.2 * hopping()
SALT = rocksalt(5.2, ["Si", "C"]).replace(atom_data={"charges": [1.0, -1.0]})
# The cutoff is between two shells of neighbours: derivatives by strain of a GAP jump where one crosses it.
PAIRS = {"descriptor": "distance_2b", "cutoff": 4.1, "theta": 0.6, "sparse_points": 10, "sparse_method": "uniform"}
DENSITIES = {"descriptor": "soap", "cutoff": 4.0, "n_max": 3, "l_max": 2, "atom_sigma": 0.7, "sparse_points": 12}
COMPONENTS = {
    "descriptor": "soap", "readout": "linear", "cutoff": 4.1, "n_max": 8, "l_max": 4, "atom_sigma": 0.4, "delta": 30.0
}
BISPECTRUM = {"descriptor": "bispectrum", "readout": "linear", "cutoff": 4.1, "twojmax": 4, "delta": 30.0}
EXPANSION = {
    "descriptor": "ace", "readout": "linear", "cutoff": 4.1, "nradmax_by_orders": [8, 3, 2], "lmax_by_orders": [0, 2, 1],
    "delta": 30.0,
}
NETWORK = jp.NetworkRecipe(
    cutoff=1.8, radial=4, angular=0, hidden=(8,), epochs=200, batch=8, validation=0.2, rate=0.01, members=1
)
TRAINED_HOPS = jp.NetworkRecipe(
    epochs=200, batch=8, validation=0.2, rate=0.01, members=2, sigmas=jp.fitting.Sigmas(energy=0.001, forces=0.02, stress=0.001)
)


# Without validation frames: two small displacements would tell when to stop.
FINE_TUNING = jp.NetworkRecipe(epochs=100, batch=4, validation=0.0, rate=0.015, average=0.9, members=1)
A_FEW_STEPS = jp.NetworkRecipe(reads="hops", epochs=3, batch=8, rate=1e-3)
WHOLE = jp.NetworkRecipe(
    reads="hops", epochs=80, batch=8, validation=0.2, rate=0.01, members=1,
    sigmas=jp.fitting.Sigmas(energy=0.001, forces=0.02, stress=0.001),
)


def gap(*terms):
    return jp.fitting.Recipe(terms, choice="fixed", units="A")


def near(potential, seed):
    """Potential of this form whose parameters are off by a tenth."""
    chance = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf * (1.0 + 0.1 * chance.normal(size=np.shape(leaf))), potential)


def beside_pairs(name, network, part=0.2):
    """Kind of a network with made-up weights, beside pairs that hold its crystal together."""
    both = COPPER + part * network
    return Kind(name, fcc(3.6, "Cu"), both, both, {"free": ["terms[0].depth"], "starts": 1, "refined": 1},
                {"terms[0].depth": 0.01, "terms[1].factor": 0.02}, ("terms[1].factor",),
                {"recipe": A_FEW_STEPS, "model": network, "baseline": COPPER})


def trained_beside_pairs(name, potential, recipe, free, frozen=()):
    """Kind of a potential of made-up numbers that is trained, beside pairs that hold its crystal together."""
    begin = {"start": near(potential, 1), "baseline": COPPER}
    return Kind(name, fcc(3.6, "Cu"), COPPER + potential, recipe, {**begin, "frozen": frozen}, {}, (free,),
                {"recipe": replace(recipe, epochs=3), "model": begin["start"], "baseline": COPPER})


def moment_tensors(element):
    """Made-up moment tensors of one element, with forces of a tenth of those of bonds, and a cutoff between two shells."""
    term = jp.load(FILES / "two_kinds.mtp", species=(element, "Au")).terms[0]
    descriptor = term.descriptor.replace(radial=term.descriptor.radial[:1, :1], species=(element,), cutoff=3.9)
    return jp.potentials.Described(descriptor, term.readout.replace(weights=3.0 * term.readout.weights), (element,))


def neuroevolution(element, crystal):
    """Made-up NEP of another element than that of its file: neurons that a crystal does not saturate, a shorter cutoff."""
    term = jp.load(FILES / "one_kind.nep")
    descriptor = term.descriptor.replace(species=(element,), radial_cutoffs=(4.2,), angular_cutoffs=(4.2,))
    chance, pair = np.random.default_rng(0), crystal.repeated((2, 1, 1))
    moved = [pair.moved(pair.positions + 0.08 * chance.normal(size=(2, 3))) for _ in range(8)]
    vectors, _ = descriptor_vectors(descriptor, Prepared.within(moved, descriptor.cutoff))
    factor = 0.1 / np.maximum(vectors.std(0), 0.01)
    readout = term.readout.replace(shift=vectors.mean(0), factor=factor, scale=-0.3 * term.readout.scale)
    return jp.potentials.Described(descriptor, readout, (element,))


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of model, small, with a crystal that is stable in it.

    Attributes:
        name: heading of its column.
        start: a crystal near its minimum.
        truth: potential that draws the data of fits.
        recipe: what `jp.fit` takes to make a model of this kind: a recipe, or the potential itself.
        options: of that fit.
        deviations: parameter -> standard deviation, for a posterior where no fit gives one.
        free: parameters that `jp.fit_form` searches for.
        learning: options of learning on the fly, where they are not those of the fit.
    """

    name: str
    start: jp.Structure
    truth: jp.Potential
    recipe: object
    options: dict = field(default_factory=dict)
    deviations: dict = field(default_factory=dict)
    free: tuple = ()
    learning: dict = field(default_factory=dict)

    @cached_property
    def dataset(self):
        return jp.draw_dataset(self.truth, self.start.repeated((2, 2, 1)), 24, displacements=(0.02, 0.08))

    @cached_property
    def fitted(self):
        """What `jp.fit` makes, for kinds whose model is fitted."""
        return jp.fit(self.dataset, self.recipe, keep_folds=True, **self.options)

    @cached_property
    def potential(self):
        return self.recipe if isinstance(self.recipe, jp.Potential) else self.fitted.potential

    @cached_property
    def posterior(self):
        return jp.Posterior.of(self.potential, self.deviations) if self.deviations else self.fitted.posterior

    @cached_property
    def crystal(self):
        """At the minimum of the energy."""
        relaxed = jp.relax(self.potential, self.start, cell=True, fmax=1e-7)
        assert relaxed.converged
        return relaxed.structure

    @cached_property
    def cell(self):
        """Eight cells or so for dynamics."""
        return self.crystal.repeated((2, 2, 2))

    @cached_property
    def disturbed(self):
        """Two cells with displaced atoms and a strain."""
        chance = np.random.default_rng(1)
        pair = self.start.repeated((2, 1, 1))
        strain = 0.02 * chance.normal(size=(3, 3))
        moved = pair.moved(pair.positions + 0.08 * chance.normal(size=(len(pair), 3)))
        return moved.strained(0.5 * (strain + strain.T))


KINDS = {
    kind.name: kind
    for kind in (
        Kind("pairs", fcc(3.6, "Cu"), COPPER, COPPER, {"free": ["depth", "r0"], "starts": 1, "refined": 1},
             {"depth": 0.01, "r0": 0.005}, ("depth", "r0")),
        Kind("many-body", diamond(5.43, ["Si", "Si"]), StillingerWeber.silicon(), StillingerWeber.silicon(),
             {"free": ["epsilon", "lam"], "starts": 1, "refined": 1}, {"epsilon": 0.02, "sigma": 0.003}, ("epsilon", "lam")),
        Kind("GAP", fcc(3.6, "Cu"), COPPER, gap(PAIRS, DENSITIES), {}, {}, ("terms[1].readout.delta",)),
        Kind("linear", fcc(3.6, "Cu"), COPPER, gap(COMPONENTS), {}, {}, ("terms[1].readout.delta",)),
        Kind("network", fcc(3.6, "Cu"), COPPER, NETWORK, {}, {}, ("terms[0].readout.scale",)),
        Kind("two hops", fcc(3.5, "Cu"), hopping(), TRAINED_HOPS, {"start": [near(hopping(), 1), near(hopping(), 2)]}, {},
             ("terms[0].potential.depth",), {"recipe": A_FEW_STEPS, "model": near(hopping(), 1)}),
        Kind("charges", SALT, IONS, IONS, {"free": ["terms[1].A"], "starts": 1, "refined": 1},
             {"terms[0].factor": 0.01, "terms[1].A": 5.0}, ("terms[1].A",)),
        Kind("GAP + two hops", fcc(3.6, "Cu"), COPPER + HOPS, gap(PAIRS, DENSITIES), {"baseline": HOPS}, {},
             ("terms[3].factor",)),
        Kind("GAP + charges", SALT, IONS + BONDS, gap(PAIRS), {"baseline": IONS}, {}, ("terms[4].factor",)),
        beside_pairs("NequIP", equivariant("Cu")),
        beside_pairs("MACE", higher_products("Cu")),
        beside_pairs("SchNet", biased(SchNet.random(0, ("Cu",), 3.6, (4,), 2, 4, (3,), 6.0))),
        beside_pairs("CHGNet", angular("Cu", hops=2), 0.05),  # with more of it, alpha changes its sign
        Kind("SNAP", fcc(3.6, "Cu"), COPPER, gap(BISPECTRUM), {}, {}, ("terms[1].readout.delta",)),
        Kind("ACE", fcc(3.6, "Cu"), COPPER, gap(EXPANSION), {}, {}, ("terms[1].readout.delta",)),
        beside_pairs("ACE, embedded", jp.load(FILES / "embedded.yace").terms[0], 2.0),
        trained_beside_pairs("MTP", moment_tensors("Cu"), WHOLE, "terms[0].readout.delta"),
        trained_beside_pairs("NEP", neuroevolution("Cu", fcc(3.6, "Cu")), WHOLE, "terms[0].readout.scale",
                             ("readout.shift", "readout.factor")),
    )
}


# Verbs -----------------------------------------------------------------------------------------------------------

VERBS = {}
HEADINGS = {}  # name of a verb -> what stands in its row


def verb(heading):
    """A row of the table."""

    def listed(function):
        VERBS[function.__name__] = function
        HEADINGS[function.__name__] = heading
        return function

    return listed


def close(value, expected, relative=1e-6):
    """Whether arrays agree, relative to the largest element."""
    value, expected = np.asarray(value), np.asarray(expected)
    assert np.isfinite(value).all() and value.shape == expected.shape
    off = np.abs(value - expected).max()
    assert off <= relative * np.abs(expected).max(), f"{off:.3g} of {np.abs(expected).max():.3g}"


def slope(function, step):
    """df/dx at 0 by differences of fourth order."""
    ahead = np.asarray(function(step)) - np.asarray(function(-step))
    further = np.asarray(function(2 * step)) - np.asarray(function(-2 * step))
    return (8.0 * ahead - further) / (12.0 * step)


def field_of(structure, seed=0):
    """A displacement of each atom, (n, 3)."""
    return np.random.default_rng(seed).normal(size=(len(structure), 3))


@verb("energy, forces, stress: `jp.evaluate`")
def evaluate(kind):
    structure, direction = kind.disturbed, field_of(kind.disturbed)
    result = jp.evaluate(kind.potential, structure)
    close(result.energies.sum(), result.energy)
    moved = slope(lambda x: jp.energy(kind.potential, structure.moved(structure.positions + x * direction)), 1e-3)
    close(-np.sum(result.forces * direction), moved, 1e-5)
    strain = np.array([[1.0, 0.3, 0.0], [0.3, -0.5, 0.2], [0.0, 0.2, 0.7]])
    strained = slope(lambda x: jp.energy(kind.potential, structure.strained(x * strain)), 1e-3)
    close(np.sum(result.stress * strain) * structure.volume, strained, 1e-5)


@verb("many structures: `jp.evaluate_many`")
def evaluate_many(kind):
    one, other = jp.evaluate_many(kind.potential, [kind.start, kind.disturbed])
    close(one.energy, jp.energy(kind.potential, kind.start))
    close(other.forces, jp.forces(kind.potential, kind.disturbed))


@verb("relaxations side by side: `jp.relax_many`")
def relax_many(kind):
    starts = [kind.crystal.strained(strain * np.eye(3)) for strain in (0.01, -0.005)]
    for result in jp.relax_many(kind.potential, starts, cell=True):
        assert result.converged
        close(result.structure.volume, kind.crystal.volume, 1e-4)


@verb("virials of atoms: `jp.virials`")
def virials(kind):
    close(-jp.virials(kind.potential, kind.disturbed).sum(0) / kind.disturbed.volume,
          jp.stress(kind.potential, kind.disturbed))


@verb("heat flux: `jp.heat_flux`")
def heat_flux(kind):
    """Where all atoms move alike, the potential part is the work of the stress."""
    velocity, structure = np.array([0.3, -0.1, 0.2]), kind.disturbed
    convective, passed_on = jp.heat_flux(kind.potential, structure, np.tile(velocity, (len(structure), 1)))
    result = jp.evaluate(kind.potential, structure)
    close(passed_on, -structure.volume * result.stress @ velocity)
    kinetic = 0.5 * np.sum(structure.masses) * velocity @ velocity
    close(convective, (result.energy + kinetic) * velocity)


@verb("Hessians and their products: `jp.hessian`, `jp.hessian_vector_product`")
def hessians(kind):
    structure, vector = kind.disturbed, field_of(kind.disturbed)
    product = jp.hessian_vector_product(kind.potential, structure, vector)
    close(product, -slope(lambda x: jp.forces(kind.potential, structure.moved(structure.positions + x * vector)), 1e-3),
          1e-5)
    close(np.tensordot(jp.hessian(kind.potential, structure), vector, 2), product)


@verb("relaxation: `jp.relax`")
def relax(kind):
    found = jp.relax(kind.potential, kind.crystal.strained(0.01 * np.eye(3)), cell=True)
    assert found.converged
    close(found.structure.volume, kind.crystal.volume, 1e-4)
    result = jp.evaluate(kind.potential, found.structure)
    assert np.abs(result.forces).max() < 1e-5 and np.abs(result.stress).max() * found.structure.volume < 1e-4
    for strain in (0.01, -0.01):
        assert jp.energy(kind.potential, found.structure.strained(strain * np.eye(3))) > result.energy


@verb("equation of state: `jp.equation_of_state`")
def equation_of_state(kind):
    found = jp.equation_of_state(kind.potential, kind.crystal)
    close(found.volume, kind.crystal.volume, 1e-2)
    close(found.bulk, jp.elastic_constants(kind.potential, kind.crystal).bulk_reuss, 0.15)  # curves of rough potentials wiggle


@verb("elastic constants: `jp.elastic_constants`")
def elastic_constants(kind):
    found = jp.elastic_constants(kind.potential, kind.crystal)
    close(found.voigt, found.voigt.T, 1e-6)
    assert found.stable
    pull = slope(lambda x: jp.stress(kind.potential, kind.crystal.strained(x * np.eye(3)))[0, 0], 1e-4)
    close(found.c11 + 2.0 * found.c12, pull, 1e-3)


Q = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.25, 0.5, 0.0]])


@verb("phonons: `jp.phonons`")
def phonons(kind):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", JaxpotWarning)
        found = jp.phonons(kind.potential, kind.crystal, Q).frequencies
    interpolated = any("interpolated" in str(one.message) for one in said)
    largest = np.abs(found).max()
    assert np.sort(np.abs(found[0]))[2] < 1e-3 * largest  # translations cost nothing
    supercell = jp.second_order(kind.potential, kind.crystal, supercell=(4, 2, 2)).dynamical_matrix(Q)
    square = (2.0 * np.pi * np.asarray(found)) ** 2 * np.sign(found)
    close(square, np.linalg.eigvalsh(supercell), 1e-5 if interpolated else 1e-6)


@verb("density of states: `jp.phonon_dos`")
def phonon_dos(kind):
    found = jp.phonon_dos(kind.potential, kind.crystal, mesh=(4, 4, 4))
    close(np.trapezoid(found.density, found.frequencies), 3.0 * len(kind.crystal), 0.01)


@verb("soft modes: `jp.soft_modes`, `jp.follow_soft_modes`")
def soft_modes(kind):
    """A stretched crystal goes down along its softest mode, by omega^2 u^2 / 2; one at rest has none to follow."""
    followed = jp.follow_soft_modes(kind.potential, kind.crystal)
    assert followed.modes == () and len(followed.energies) == 1
    close(followed.structure.volume, kind.crystal.volume, 1e-4)
    stretches = (kind.crystal.strained(x * np.eye(3)) for x in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JaxpotWarning)  # stretched crystals are not at rest
        stretched, (mode, *_) = next((s, modes) for s in stretches if (modes := jp.soft_modes(kind.potential, s)))
    large = mode.displaced(stretched, 0.0)
    moves = np.asarray(mode.displaced(stretched, 1.0).positions) - np.asarray(large.positions)

    def along(x):
        return -np.sum(moves * np.asarray(jp.forces(kind.potential, large.moved(large.positions + x * moves))))

    inertia = np.sum(np.asarray(large.masses)[:, None] * moves**2)
    close(slope(along, 1e-3), -((2.0 * np.pi * mode.frequency) ** 2) * inertia, 1e-4)


@verb("Grüneisen parameters: `jp.gruneisen`")
def gruneisen(kind):
    """sum gamma w^2 = -d tr D / 2 d ln V, in a crystal whose atoms have no freedom under a dilation."""
    found = jp.gruneisen(kind.potential, kind.crystal, Q[1:2], differences=True)

    def trace(x):
        strained = kind.crystal.strained((np.exp(x / 3.0) - 1.0) * np.eye(3))
        matrix = jp.second_order(kind.potential, strained).dynamical_matrix(Q[1:2])
        return np.trace(matrix[0]).real

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JaxpotWarning)  # strained crystals are not at rest
        close(np.sum(found.gamma * (2.0 * np.pi * found.frequencies) ** 2), -0.5 * slope(trace, 1e-3), 0.01)


@verb("thermal expansion: `jp.thermal_expansion`")
def thermal_expansion(kind):
    found = jp.thermal_expansion(kind.potential, kind.crystal, [0.0, 300.0], mesh=(2, 2, 2), differences=True)
    limit = 3.0 * len(kind.crystal) * jp.units.kB
    assert 0.3 * limit < found.heat_capacity_v[1] < limit < 1.2 * found.heat_capacity_p[1] + limit
    assert abs(found.alpha[0]) < 1e-9 and np.isfinite(found.volumes).all()
    close(found.gamma[1], 3.0 * found.alpha[1] * found.volumes[1] * found.bulk[1] / found.heat_capacity_v[1], 1e-6)
    close(np.log(found.volumes[1] / found.volumes[0]) / 300.0, 3.0 * found.alpha[1], 0.7)  # alpha rises to its limit


@verb("vacancies: `jp.vacancy_energy`")
def vacancies(kind):
    reservoir = jp.energy(kind.potential, kind.crystal) / len(kind.crystal)
    options = {"distance": 5.0, "chemical_potential": float(reservoir), "inward": 0.0}
    ideal = jp.vacancy_energy(kind.potential, kind.crystal, relaxed=False, **options)
    cells = ideal.arrangement.cells
    close(ideal.energy, jp.energy(kind.potential, ideal.structure) - (cells * len(kind.crystal) - 1) * reservoir, 1e-5)
    relaxed = jp.vacancy_energy(kind.potential, kind.crystal, **options)
    assert relaxed.energy < ideal.energy + 1e-4


@verb("surfaces: `jp.surface_energy`")
def surfaces(kind):
    ideal = jp.surface_energy(kind.potential, kind.crystal, (1, 1, 0), thickness=6.0, relaxed=False)
    relaxed = jp.surface_energy(kind.potential, kind.crystal, (1, 1, 0), thickness=6.0)
    slab = ideal.structure
    area = np.linalg.norm(np.cross(*np.asarray(slab.cell)[:2]))
    bulk = jp.energy(kind.potential, kind.crystal) * len(slab) / len(kind.crystal)
    close(ideal.energy, (jp.energy(kind.potential, slab) - bulk) / (2.0 * area), 1e-5)
    assert 0.0 < relaxed.energy < ideal.energy + 1e-4


@verb("property card: `jaxpot card`")
def card(kind):
    found = property_card(
        kind.potential, kind.start, kind.name, mesh=2, dos_mesh=4, points=8, temperatures=[0.0, 300.0], defects=False
    ).document()
    close(found["meta"]["structure"]["volume_per_atom_A3"], kind.crystal.volume / len(kind.crystal), 1e-4)
    elastic = jp.elastic_constants(kind.potential, kind.crystal).c11 / GPa
    close(found["elastic_GPa"]["value"]["c11"], elastic, 1e-3)


@verb("error bars of energies and forces: `jp.std`")
def std(kind):
    found = jp.std(kind.posterior, kind.disturbed)

    def energy(z):
        return float(jp.energy(kind.posterior.at(jnp.asarray(z)), kind.disturbed))

    def slope(z, h=1e-2):
        return (8.0 * (energy(h * z) - energy(-h * z)) - energy(2.0 * h * z) + energy(-2.0 * h * z)) / (12.0 * h)

    slopes = [slope(z) for z in np.eye(kind.posterior.factor.shape[1])]
    close(found.parametric.energy, np.linalg.norm(slopes), 1e-4)
    assert np.isfinite(found.epistemic.forces).all() and (found.epistemic.energy >= found.parametric.energy)


@verb("error bars of any number: `jp.propagate`")
def propagate(kind):
    def volume(potential, structure):
        return structure.volume

    found = jp.propagate(kind.posterior, volume, kind.crystal)
    direction = np.asarray(found.slopes) / np.linalg.norm(found.slopes)

    def relaxed(x):
        return jp.relax(kind.posterior.at(jnp.asarray(x * direction)), kind.crystal, cell=True, fmax=1e-7).structure.volume

    close(found.std, (relaxed(0.02) - relaxed(-0.02)) / 0.04, 0.01)


@verb("calibrated error bars: `jp.calibrate`")
def calibrate(kind):
    found = jp.calibrate(kind.fitted, kind.dataset)
    assert all(factor >= 0.0 for factor in found.epistemic.values())  # 0: a form that is exact
    assert all(factor >= 0.0 for factor in found.noise.values())
    calibrated = found.apply(kind.posterior)
    assert calibrated.property_factor == found.property_factor >= max(found.epistemic.values())
    assert set(jp.unfamiliar_atoms(calibrated, kind.crystal)) <= set(range(len(kind.crystal)))


@verb("extrapolation grades: `jp.ActiveSet`")
def active_set(kind):
    structures = [frame.structure for frame in kind.dataset][:8]
    known = jp.ActiveSet.of(kind.potential, structures)
    assert max(known.grades(s).max() for s in structures) < 1.03
    squeezed = kind.start.strained(-0.15 * np.eye(3))
    assert known.grades(squeezed).max() > 1.5


@verb("frames worth a label: `jp.select_frames`")
def select_frames(kind):
    candidates = [frame.structure for frame in kind.dataset][:4]
    chosen, told = jp.select_frames(kind.posterior, None, candidates, 2)
    assert len(set(chosen)) == 2 and told[0] >= told[1] > 0.0


@verb("a fit of a model of this kind: `jp.fit`")
def fit(kind):
    found = jp.fit(kind.dataset, kind.recipe, **kind.options) if kind.deviations else kind.fitted
    rmse = found.train.errors()["all"]["forces"]["rmse"]
    spread = np.std(np.concatenate([frame.forces for frame in kind.dataset]))
    assert rmse < 0.5 * spread, f"{rmse:.3g} of {spread:.3g}"
    close(jp.forces(found.potential, kind.dataset[0].structure), found.train.predicted["forces"][0])


@verb("fine-tuning: `jp.train(..., start=, pretrained=True)`")
def fine_tuning(kind):
    """Another method, whose forces are a fifth larger and whose energies have another zero."""
    frames = jp.draw_dataset(1.2 * kind.potential, kind.start.repeated((2, 1, 1)), 8, displacements=(0.06, 0.1))
    frames = [replace(frame, energy=frame.energy + 0.7 * len(frame)) for frame in frames]
    data = jp.Dataset.of(frames, e0=dict.fromkeys(np.unique(kind.start.numbers).tolist(), 0.0))
    size = float(np.std([frame.forces for frame in frames]))
    epochs = 400 if kind.name == "ACE" else FINE_TUNING.epochs  # its radial functions stay: weights alone take longer
    sigmas = jp.fitting.Sigmas(energy=0.01 * size, forces=0.05 * size)
    recipe = replace(FINE_TUNING, sigmas=sigmas, epochs=epochs)
    tuned = jp.train(data, recipe, start=kind.potential, pretrained=True, predictions=False)

    def off(potential):
        return np.linalg.norm([jp.forces(potential, frame.structure) - frame.forces for frame in frames])

    assert off(tuned.potential) < 0.5 * off(kind.potential)


@verb("parameters of it from data: `jp.fit_form`")
def fit_form(kind):
    (name, *_), = [kind.free]
    leaves = {p: leaf for p, leaf in zip(_names(kind.potential), jax.tree.leaves(kind.potential), strict=True)}
    wanted = float(np.ravel(leaves[name])[0])
    data = jp.draw_dataset(kind.potential, kind.start.repeated((2, 1, 1)), 4, displacements=(0.02, 0.08))
    data = jp.Dataset.of(data, e0="least squares")  # free atoms of fitted models have an energy
    moved = _with(kind.potential, name, 1.1 * np.asarray(leaves[name]))
    found = jp.fit_form(moved, data, free=[name], starts=0, refined=1)
    if name in found.parameters:
        close(found.parameters[name].value, wanted, 1e-4)
        return
    for frame in data:  # which numbers of an array give these is not determined
        np.testing.assert_allclose(jp.forces(found.potential, frame.structure), frame.forces, atol=1e-4)


@verb("the rest of a fit: `jp.fit(..., baseline=)`")
def baseline(kind):
    found = jp.fit(kind.dataset, gap(PAIRS), baseline=0.9 * kind.truth if kind.deviations else 0.9 * kind.potential)
    errors = found.train.errors()["all"]["forces"]["rmse"]
    assert errors < 0.3 * np.std(np.concatenate([frame.forces for frame in kind.dataset]))


@verb("learning on the fly: `jp.learn_on_the_fly`")
def learn_on_the_fly(kind):
    options = kind.learning or {"recipe": kind.recipe, "baseline": kind.options.get("baseline")}
    found = jp.learn_on_the_fly(
        kind.dataset, kind.truth, kind.cell, lambda p: md.Langevin(p, 1.0 * fs, 300.0, 0.02 / fs), 20,
        threshold=1e-9, budget=1, every=5, **options,
    )
    assert len(found.log) == 1 and len(found.dataset) == len(kind.dataset) + 1


def conserves(kind, dynamics, steps=40):
    """Whether dynamics move, and what they conserve does not."""
    start = dynamics.init(kind.cell, 300.0, key=1)
    end = md.run(dynamics, start, steps).state
    drift = float(dynamics.conserved(end) - dynamics.conserved(start))
    assert abs(float(end.energy - start.energy)) > 0.02 and int(end.step) == steps
    assert abs(drift) < 2e-4 * len(kind.cell), drift
    close(end.forces, jp.forces(kind.potential, end.structure), 1e-5)


@verb("dynamics at constant energy: `md.NVE`")
def nve(kind):
    conserves(kind, md.NVE(kind.potential, 1.0 * fs))


@verb("with friction and noise: `md.Langevin`")
def langevin(kind):
    conserves(kind, md.Langevin(kind.potential, 1.0 * fs, 300.0, 0.01 / fs))


@verb("with rescaled velocities: `md.VelocityRescaling`")
def velocity_rescaling(kind):
    conserves(kind, md.VelocityRescaling(kind.potential, 1.0 * fs, 300.0, 100.0 * fs))


@verb("with a chain of thermostats: `md.NoseHoover`")
def nose_hoover(kind):
    conserves(kind, md.NoseHoover(kind.potential, 1.0 * fs, 300.0, 100.0 * fs))


@verb("at constant pressure: `md.CellRescaling`")
def cell_rescaling(kind):
    conserves(kind, md.CellRescaling(kind.potential, 1.0 * fs, 300.0, 0.0, 100.0 * fs, 500.0 * fs, 0.01 / GPa))


@verb("derivatives through steps: `md.steps`")
def steps(kind):
    dynamics = md.NVE(kind.potential, 1.0 * fs)
    start, direction = dynamics.init(kind.disturbed, 300.0, key=1), field_of(kind.disturbed)

    def end(x):
        moved = start.structure.moved(start.structure.positions + x * direction)
        state, _ = md.steps(dynamics, start.replace(structure=moved), 3)
        return state.energy

    close(jax.grad(end)(0.0), slope(end, 1e-3), 1e-5)


@verb("calculator of ASE: `jp.ase_calculator`")
def ase(kind):
    atoms = jp.to_ase(kind.disturbed)
    atoms.calc = jp.ase_calculator(kind.potential)
    result = jp.evaluate(kind.potential, kind.disturbed)
    close(atoms.get_potential_energy(), result.energy, 1e-11)  # weights of a Gaussian process cancel by five digits
    close(atoms.get_forces(), result.forces, 1e-9)
    close(atoms.get_stress(voigt=False), result.stress, 1e-9)


@verb("LAMMPS: `pair_style jaxpot`, `jaxpot lammps`")
def lammps(kind):
    sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
    import lammps_ranks as ranks

    engine = _lammps()
    structure = ranks.lower(kind.disturbed)
    species = sorted(set(structure.symbols))
    ranks.load(engine, structure, species)
    domain_of({"mine": kind.potential}, ["mine"], species)  # LAMMPS's own exception has no class
    ranks.act(engine, kind.potential, species)
    result = ranks.compared(engine, kind.potential, species)
    assert result["energy"] < 1e-10 and result["forces"] < 1e-9 and result["virial"] < 1e-9, result


@lru_cache
def _lammps():
    """One LAMMPS for all cells: MPI starts once in a process."""
    return jp.lammps.start(["-screen", "none", "-log", "none"])


@verb("files of force constants: `jp.to_phonopy`")
def phonopy(kind):
    with tempfile.TemporaryDirectory() as folder:
        for path in jp.to_phonopy(kind.potential, kind.crystal, folder):
            assert path.stat().st_size > 100


@verb("files: `jp.save`, `jp.load`")
def save(kind):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.model"
        jp.save(kind.potential, path)
        assert jp.energy(jp.load(path), kind.disturbed) == jp.energy(kind.potential, kind.disturbed)


@verb("mixed precision: `jp.mixed_precision`")
def mixed_precision(kind):
    mixed = jp.evaluate(jp.mixed_precision(kind.potential), kind.disturbed)
    full = jp.evaluate(kind.potential, kind.disturbed)
    assert mixed.forces.dtype == np.float64
    close(mixed.forces, full.forces, 2e-4)
    assert float(np.abs(mixed.forces - full.forces).max()) > 0.0


@verb("atoms shared by two devices: a mesh with the axis \"atoms\"")
def devices(kind):
    with tempfile.TemporaryDirectory() as folder:
        save_tree(kind.potential, Path(folder) / "model")
        save_tree(kind.disturbed.repeated((2, 2, 1)), Path(folder) / "structure")
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
        environment = {**os.environ, "XLA_FLAGS": flags}
        subprocess.run([sys.executable, __file__, "--devices", folder], env=environment, check=True, timeout=300)


def _shared(folder):
    """What the process of `devices` does."""
    potential, structure = load_tree(Path(folder) / "model"), load_tree(Path(folder) / "structure")
    alone = jp.evaluate(potential, structure)
    assert jax.device_count() == 2
    with jax.set_mesh(jax.make_mesh((2,), ("atoms",), axis_types=(AxisType.Auto,))):
        together = jp.evaluate(potential, structure)
    close(together.forces, alone.forces, 1e-9)
    close(together.stress, alone.stress, 1e-9)


def _names(potential):
    from jaxpot.potentials.base import parameter_names

    return parameter_names(potential)


def _with(potential, name, value):
    leaves, form = jax.tree.flatten(potential)
    k = _names(potential).index(name)
    return jax.tree.unflatten(form, [*leaves[:k], jnp.asarray(value), *leaves[k + 1 :]])


# What comes out, and the page ------------------------------------------------------------------------------------


def outcome(name, kind):
    """What a verb does with a kind: "yes", or the class and the words of the refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JaxpotWarning)
            VERBS[name](KINDS[kind])
    except JaxpotError as error:
        words = re.sub(r"\s+", " ", str(error))
        words = re.sub(r"in epoch \d+, in the batch of frames [\d, ]+", "in some epoch, in a batch", words)  # by rounding
        return f"{type(error).__name__}: {words}"
    return YES


def page(cells):
    """The text of the page: a table with a mark or the number of a footnote in each cell, and the footnotes.

    Args:
        cells: (verb, kind) -> what `outcome` says.
    """
    notes, rows = [], []
    for name in VERBS:
        row = [HEADINGS[name]]
        for kind in KINDS:
            text = cells.get((name, kind))
            if text not in (None, YES) and text not in notes:
                notes.append(text)
            row.append("" if text is None else MARK if text == YES else f"{notes.index(text) + 1}")
        rows.append("| " + " | ".join(row) + " |")
    head = ["| | " + " | ".join(KINDS) + " |", "|---|" + ":-:|" * len(KINDS)]
    refusals = [f"{k}. {text}" for k, text in enumerate(notes, 1)]
    return "\n".join([ABOUT, *head, *rows, "", REFUSALS, *refusals, ""])


def read_page():
    """(verb, kind) -> what the page says of it."""
    if not PAGE.exists():
        return {}
    text = PAGE.read_text(encoding="utf-8")
    notes = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    verbs = {heading: name for name, heading in HEADINGS.items()}
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    (_, *kinds), *rows = lines
    return {
        (verbs[heading], kind): YES if cell == MARK else notes[cell]
        for heading, *row in rows if heading in verbs
        for kind, cell in zip(kinds, row, strict=True) if cell
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verb", nargs="+", default=list(VERBS), choices=VERBS, metavar="VERB", help="these only")
    parser.add_argument("--kind", nargs="+", default=list(KINDS), choices=KINDS, metavar="KIND", help="these only")
    parser.add_argument("--write", action="store_true", help=f"put what comes out into {PAGE.name}")
    parser.add_argument("--devices", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.devices:
        return _shared(options.devices)
    compile_sooner()
    silence()
    use_cache()
    bugs = 0
    for kind in options.kind:
        for name in options.verb:
            begun = time.perf_counter()
            try:
                text = outcome(name, kind)
            except Exception:
                bugs, text = bugs + 1, "BUG " + "".join(traceback.format_exc(limit=-3))
            print(f"{time.perf_counter() - begun:6.1f} s  {kind} | {name} | {text}", flush=True)
            if options.write and not text.startswith("BUG"):
                cells = read_page() | {(name, kind): text}
                PAGE.write_text(page(cells), encoding="utf-8")
        jax.clear_caches()
    return bugs


if __name__ == "__main__":
    sys.exit(main())
