"""The property card of a crystal: relax it, compute what `jaxpot.properties` offers, write it down.

A quantity that does not exist for the crystal (a thermal expansion where modes are imaginary) is `null` in
the card, with a warning that says why. Everything else that goes wrong is an error: nothing is guessed.
"""

import base64
import json
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxpot import units
from jaxpot.core.save import write_atomically
from jaxpot.core.structure import Structure
from jaxpot.core.versions import versions
from jaxpot.errors import ConvergenceError, DataError, JaxpotWarning, ResourceError
from jaxpot.io import band_path, special_points
from jaxpot.observables import energy
from jaxpot.potentials.constants import knows_isolated_atoms
from jaxpot.properties.elastic import elastic_constants
from jaxpot.properties.eos import equation_of_state
from jaxpot.properties.gruneisen import GruneisenBands, gruneisen
from jaxpot.properties.phonons import PhononBands, force_constants, phonon_dos, phonons
from jaxpot.properties.relax import relax
from jaxpot.properties.thermal import thermal_expansion
from jaxpot.report import elastic_plots, plots
from jaxpot.report.bars import card_deviations
from jaxpot.report.cautions import cautions
from jaxpot.report.crystal import isolated_atom, primitive
from jaxpot.report.curve_bars import CurveDeviations
from jaxpot.report.defects import defects_of
from jaxpot.report.entries import DEFINITIONS, ROOM, about, numbers_of, with_deviations
from jaxpot.report.html import html_page

_LONG_SYMMETRY = 1000  # atoms
_MOST_ATOMS, _MANY_ATOMS, _MOST_BYTES = 5000, 40, 8e9
_UNDER_PRESSURE = (
    "at {:g} GPa: the crystal is at the minimum of its enthalpy; equation of state, vacancies, surfaces and error bars "
    "are of crystals without pressure, and left out"
)
_TEMPERATURES = np.concatenate([np.arange(0.0, 100.0, 10.0), np.arange(100.0, 601.0, 25.0)])


@dataclass(frozen=True)
class Card:
    """A property card: `values` (the keys of `card.json`), `meta`, and the results behind them."""

    name: str
    values: dict
    meta: dict
    results: dict = field(repr=False)

    def document(self):
        """What is in `card.json`: plain dicts, lists, strings and finite numbers."""
        return {**self.values, "meta": self.meta}

    def figures(self):
        """The figures by name; a quantity that does not exist has none."""
        results, atoms, figures = self.results, self.meta["structure"]["atoms"], {}
        curves = results.get("curves", CurveDeviations())
        if "bands" in results:
            figures["bands"] = plots.plot_bands(
                results["bands"], results.get("dos"), sd=curves.bands, dos_sd=curves.dos
            )
        if "dos" in results:
            figures["dos"] = plots.plot_dos(results["dos"], sd=curves.dos)
        if "equation_of_state" in results:
            figures["equation_of_state"] = elastic_plots.plot_equation_of_state(
                results["equation_of_state"], atoms, sd=curves.energies
            )
        if "elastic" in results:
            figures["elastic"] = elastic_plots.plot_elastic(results["elastic"], slopes=curves.voigt)
        if "gruneisen" in results:
            figures["gruneisen"] = plots.plot_gruneisen(results["gruneisen"], sd=curves.gamma)
        if "thermal" in results:
            figures["thermal"] = plots.plot_thermal(results["thermal"], atoms, sd=curves.thermal)
        return figures

    def write(self, folder):
        """Write `card.json`, `card.html` and one PNG for each figure; return the paths."""
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        pictures = {name: figure.base64() for name, figure in self.figures().items()}
        document = self.document()
        bars = _BANDS if "curves" in self.results else ""
        shown = [(_CAPTIONS[name] + bars, data) for name, data in pictures.items() if name in _CAPTIONS]
        page = html_page(document, shown)
        files = {f"{name}.png": base64.b64decode(data) for name, data in pictures.items()}
        files["card.html"] = page.encode()
        files["card.json"] = (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()
        for name, data in files.items():
            write_atomically(folder / name, data)
        return [folder / name for name in files]


def property_card(
    potential, structure, name, progress=None, model=None, mesh=8, dos_mesh=30, points=200, temperatures=None,
    posterior=None, defects=True, pressure=0.0,
):
    """Compute the property card of a crystal.

    Args:
        potential: any jaxpot potential.
        structure: a crystal near its minimum, `Structure` or `ase.Atoms`; it is reduced to its primitive
            cell and relaxed, cell and all.
        name: what to call it.
        progress: called with a few words before each step.
        model: what to say of the potential: {"name": ..., "source": ...}.
        mesh, dos_mesh: divisions of the reciprocal lattice for thermal properties and for the DOS.
        points: wave vectors along the path.
        temperatures: K, ascending, among them 300; by default 0 to 600. Each of them that is given has its lines in the
            table. Thermal properties end, with a warning, below the first at which the crystal has no minimum of its
            free energy.
        posterior: `Posterior` whose mean the potential is: each entry gets its standard deviation.
        defects: whether vacancies and surfaces are computed: cells of a hundred atoms.
        pressure: eV/A^3 (multiply by `units.GPa`), at which the crystal is relaxed, and stays as it expands. Under
            pressure there is no equation of state, no defects and no error bars.

    Returns:
        `Card`.

    Raises:
        DataError, GeometryError: a wrong structure, or elements the potential does not know.
        ConvergenceError: the crystal does not relax.
    """
    say = progress or (lambda text: None)
    asked = [] if temperatures is None else [float(kelvin) for kelvin in temperatures]
    temperatures = _TEMPERATURES if temperatures is None else np.asarray(temperatures, float)
    if ROOM not in temperatures:
        raise DataError(f"temperatures: expected {ROOM:g} K to be among them, got {temperatures.tolist()}")
    if (np.diff(temperatures) <= 0.0).any():
        raise DataError(f"temperatures: expected ascending numbers, each once, got {temperatures.tolist()}")
    results, notes = {}, []
    if pressure:
        notes.append(_UNDER_PRESSURE.format(pressure / units.GPa))
        defects, posterior = False, None

    with _collected(notes), ThreadPoolExecutor(1) as pool:
        say("relaxing atoms and cell")
        structure = _small_enough(structure, points, say)
        crystal = results["crystal"] = relaxed_crystal(potential, structure, pressure)
        # Almost all of the time goes into compiling. The longest part begins here, on a core of its own.
        temperatures_done = []
        expand = partial(
            thermal_expansion, potential, crystal, mesh=(mesh,) * 3, differences=True, pressure=pressure
        )
        thermal = pool.submit(_thermal_expansion, expand, temperatures, _double(), temperatures_done)
        if not pressure:
            say("energy against volume")
            results["equation_of_state"] = equation_of_state(potential, crystal)
        cohesive = None
        if knows_isolated_atoms(potential):
            cohesive = cohesive_energy(potential, crystal)
        else:
            notes.append("no cohesive energy: the reference energies are from least squares, not of isolated atoms")
        say("elastic constants")
        with _optional("elastic constants", notes):
            results["elastic"] = elastic_constants(potential, crystal)
        say("phonons: bands along the standard path")
        special = special_points(crystal)
        # One call for the path and the special points: one compiled program.
        route = band_path(crystal, points=points)
        wave_vectors = np.concatenate([route.q_points, np.array(list(special.values()))])
        found = phonons(potential, crystal, wave_vectors)
        results["force_constants"] = force_constants(potential, crystal)
        results["bands"], results["phonons"] = _split(PhononBands, route, found, "frequencies")
        say("phonons: density of states")
        results["dos"] = phonon_dos(potential, crystal, mesh=(dos_mesh,) * 3)
        say("Grueneisen parameters")
        with _optional("Grueneisen parameters", notes):
            found = gruneisen(potential, crystal, wave_vectors, differences=True)
            if not np.isfinite(np.asarray(found.gamma)).any():
                raise ConvergenceError("no mode of this crystal has one")
            results["gruneisen"], results["modes"] = _split(
                GruneisenBands, route, found, "frequencies", "gamma"
            )
        if defects:
            say("vacancies and surfaces")
            results |= defects_of(potential, crystal, notes)
        say("thermal expansion and heat capacity")
        with _optional("thermal properties", notes):
            results["thermal"] = _waited(thermal, temperatures_done, len(temperatures), say)

    notes += cautions(results, None if posterior is None else posterior.ranges)
    numbers, bars = numbers_of(results, special, cohesive), {}
    if posterior is not None:
        with _collected(notes):
            bars, results["curves"] = card_deviations(
                posterior, crystal, numbers, results, special, ROOM, mesh, dos_mesh, say
            )
    meta = {
        "name": name,
        **about(potential, model, results, special, bars),
        "settings": {
            "mesh": mesh, "dos_mesh": dos_mesh, "points": points, "temperature_K": ROOM, "temperatures_K": asked,
            "pressure_GPa": float(pressure) / units.GPa,
        },
        "definitions": DEFINITIONS,
        "versions": versions(),
        "warnings": notes,
    }
    return Card(name, with_deviations(numbers, bars), meta, results)


def _double():
    """Whether this thread works in double precision; another thread has to be told."""
    return bool(jax.config.jax_enable_x64)


def _thermal_expansion(expand, temperatures, double, done):
    """Thermal expansion at all temperatures, or at those below the first that the crystal does not survive.

    Numbers of temperatures are appended to `done` as they are finished.
    """
    with jax.enable_x64(double):
        try:
            return expand(temperatures, callback=lambda k, _: done.append(k))
        except ConvergenceError as error:
            if not done:
                raise
            message = f"no thermal properties above {temperatures[len(done) - 1]:g} K: {error}"
        result = expand(temperatures[: len(done)])
        warnings.warn(message, JaxpotWarning, stacklevel=2)
        return result


def _waited(thermal, done, count, say, seconds=10.0):
    """Wait for a thread and return its result, saying every few seconds how many temperatures are done."""
    while not wait([thermal], timeout=seconds).done:
        say(f"thermal expansion: {len(done)} of {count} temperatures")
    return thermal.result()


def check_size(atoms):
    """Refuse so many atoms that finding their symmetry alone takes minutes.

    Raises:
        ResourceError: they are too many.
    """
    if atoms > _MOST_ATOMS:
        raise ResourceError(
            f"a property card begins with the symmetry and the phonons of the crystal, and {atoms} atoms are beyond it "
            f"(at most {_MOST_ATOMS}): give its primitive cell, or use jaxpot relax, evaluate and md"
        )


def _small_enough(structure, points, say):
    """The primitive cell, or an error where its phonons would take gigabytes, and hours."""
    structure = Structure.of(structure)
    check_size(len(structure))
    if len(structure) > _LONG_SYMMETRY:
        say(f"symmetry of {len(structure)} atoms: up to a minute")
    structure = primitive(structure)
    atoms = len(structure)
    size = 6.0 * 16.0 * points * (3.0 * atoms) ** 2  # bytes; dynamical matrices, eigenvectors and derivatives
    if size > _MOST_BYTES:
        raise ResourceError(
            f"phonons of {atoms} atoms in the primitive cell at {points} wave vectors need about {size / 1e9:.0f} GB "
            f"(at most {_MOST_BYTES / 1e9:.0f}): use fewer --points, or jp.elastic_constants and jp.phonons one by one"
        )
    if atoms > _MANY_ATOMS:
        say(f"{atoms} atoms in the primitive cell: this will take minutes or longer")
    return structure


def relaxed_crystal(potential, structure, pressure=0.0):
    """The primitive cell of a crystal at the minimum of its enthalpy; refuses what does not converge."""
    found = relax(potential, primitive(Structure.of(structure)), cell=True, pressure=pressure)
    if not found.converged:
        raise ConvergenceError(
            f"the crystal did not relax: after {found.steps} steps the largest gradient is {found.fmax:.3g} "
            "eV/A, expected 1e-6; start closer to the minimum (jaxpot relax writes where it came to)"
        )
    return primitive(found.structure)


def cohesive_energy(potential, crystal):
    """Energy per atom that it takes to separate a crystal into isolated atoms, eV."""
    numbers = [int(z) for z in np.asarray(crystal.numbers)]
    alone = {z: float(energy(potential, isolated_atom(z))) for z in set(numbers)}
    return (sum(alone[z] for z in numbers) - float(energy(potential, crystal))) / len(numbers)


# Bands, what may be missing, and what was said on the way --------------------------------------------------------


def _split(bands, route, result, *names):
    """What was computed on a path followed by the special points: the bands, and the values at the points."""
    values = {name: np.asarray(getattr(result, name)) for name in names}
    count = len(route.q_points)
    along = {name: value[:count] for name, value in values.items()}
    path = {
        "q": route.q_points,
        "distances": route.distances,
        "ticks": tuple(route.ticks),
        "labels": route.labels,
    }
    return bands(**path, **along), {name: value[count:] for name, value in values.items()}


@contextmanager
def _optional(what, notes):
    """A part of the card that some crystals do not have: the reason is noted and the rest goes on."""
    try:
        yield
    except ConvergenceError as error:
        notes.append(f"no {what}: {error}")


@contextmanager
def _collected(notes):
    """Warnings raised inside become notes of the card, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = str(warning.message)
        if issubclass(warning.category, JaxpotWarning) and text not in notes:
            notes.append(text)


_CAPTIONS = {
    "bands": "Phonon frequencies along the standard path of the Brillouin zone, and their density of states.",
    "equation_of_state": "Energy against volume, the cell in its shape: computed points and the Birch-Murnaghan curve "
    "(fourth order) through them; B₀ is the Voigt average of the elastic constants.",
    "elastic": "Young's modulus by direction, and the stiffness matrix; both static, with relaxed ions.",
    "gruneisen": "Mode Grüneisen parameters along the same path, coloured by frequency.",
    "thermal": "Quasi-harmonic properties against temperature.",
}
_BANDS = " Shaded, or as bars: one standard deviation to each side."
