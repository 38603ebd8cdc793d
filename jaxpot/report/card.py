"""The property card of a crystal: relax it, compute what `jaxpot.properties` offers, write it down.

A quantity that does not exist for the crystal (a thermal expansion where modes are imaginary) is `null` in
the card, with a warning that says why. Everything else that goes wrong is an error: nothing is guessed.
"""

import base64
import json
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxpot import units
from jaxpot.core.elements import symbol
from jaxpot.core.precision import holds_single
from jaxpot.core.save import write_atomically
from jaxpot.core.structure import Structure
from jaxpot.core.versions import versions
from jaxpot.errors import ConvergenceError, DataError, JaxpotWarning, ResourceError
from jaxpot.io import band_path, special_points
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.properties.kinks import needs_rounding
from jaxpot.properties.relax import relax
from jaxpot.properties.second_order import SKIN, route
from jaxpot.report import entries
from jaxpot.report.bars import card_spreads
from jaxpot.report.cautions import cautions
from jaxpot.report.crystal import primitive
from jaxpot.report.entries import DEFECTS, ROOM, Study
from jaxpot.report.html import html_page
from jaxpot.typing import FilePath

_CARD = "card.json"
_LONG_SYMMETRY = 1000  # atoms
_ANY = 1_000_000  # wave vectors
_MOST_ATOMS, _MANY_ATOMS, _MOST_BYTES = 5000, 40, 8e9
_UNDER_PRESSURE = (
    "at {:g} GPa: the crystal is at the minimum of its enthalpy; left out, as they are of crystals without pressure: "
    "{}, error bars"
)
_DEVIATION = (
    "standard deviation of the value, of the shape of the value; null without a posterior. To first order in what is "
    "uncertain of the potential: its parameters, and what its sparse points do not see near this crystal"
)
_BANDS = " Shaded, or as bars: one standard deviation to each side."
_TEMPERATURES = np.concatenate([np.arange(0.0, 100.0, 10.0), np.arange(100.0, 601.0, 25.0)])


@dataclass(frozen=True)
class Card:
    """A property card.

    Attributes:
        values: the keys of `card.json` but "meta".
        meta: what it says of model, crystal and settings.
        results: of the properties, by name.
        spreads: what is uncertain of them, by name; empty without a posterior.
    """

    name: str
    values: dict
    meta: dict
    results: dict = field(repr=False)
    spreads: dict = field(repr=False, default_factory=dict)

    def document(self) -> dict:
        """Contents of `card.json`: plain dicts, lists, strings and finite numbers."""
        return {**self.values, "meta": self.meta}

    def figures(self) -> dict:
        """The figures by name; a quantity that does not exist has none."""
        return {figure.name: figure.draw(self.results, self.spreads) for figure in self._shown()}

    def write(self, folder: FilePath, pictures: bool = True) -> list[Path]:
        """Write `card.json` and, with pictures, `card.html` and one PNG for each figure; return the paths."""
        folder, document = Path(folder), self.document()
        folder.mkdir(exist_ok=True)
        files = self._drawn(document) if pictures else {}
        files[_CARD] = (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()
        for name, data in files.items():
            write_atomically(folder / name, data)
        return [folder / name for name in files]

    def _drawn(self, document):
        """Files of the page and of each figure."""
        pictures = {name: figure.base64() for name, figure in self.figures().items()}
        bars = _BANDS if self.spreads else ""
        captions = {figure.name: figure.caption for figure in self._shown() if figure.caption is not None}
        page = html_page(document, [(caption + bars, pictures[name]) for name, caption in captions.items()])
        files = {f"{name}.png": base64.b64decode(data) for name, data in pictures.items()}
        return files | {"card.html": page.encode()}

    def _shown(self):
        return [figure for prop in entries.PROPERTIES for figure in prop.figures if figure.name in self.results]


def property_card(
    potential: Potential, structure: Structure, name: str, progress: Callable[..., object] | None = None,
    model: dict[str, str] | None = None, mesh: int = 8, dos_mesh: int = 30, points: int = 200,
    temperatures: Sequence[float] | None = None, posterior: Posterior | None = None, defects: bool = True,
    pressure: float = 0.0,
) -> Card:
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
    kelvins = _TEMPERATURES if temperatures is None else np.asarray(temperatures, float)
    if ROOM not in kelvins:
        raise DataError(f"temperatures: expected {ROOM:g} K to be among them, got {kelvins.tolist()}")
    if (np.diff(kelvins) <= 0.0).any():
        raise DataError(f"temperatures: expected ascending numbers, each once, got {kelvins.tolist()}")
    properties = [prop for prop in entries.PROPERTIES if defects or prop is not DEFECTS]
    notes = []
    if pressure:
        left_out = [prop.about for prop in properties if not prop.under_pressure]
        notes.append(_UNDER_PRESSURE.format(pressure / units.GPa, ", ".join(left_out)))
        properties, posterior = [prop for prop in properties if prop.under_pressure], None

    with _collected(notes):
        say("relaxing atoms and cell")
        crystal = relaxed_crystal(potential, _small_enough(structure, points, say), pressure)
        if needs_rounding(potential, crystal):
            say("relaxing again, as rounded")
            potential, crystal = _rounded(potential, crystal, pressure, notes)
            posterior = None if posterior is None else posterior.replace(potential=potential)
        study = Study(
            potential=potential, crystal=crystal, route=band_path(crystal, points=points),
            special=special_points(crystal), mesh=mesh, dos_mesh=dos_mesh, temperatures=kelvins,
            pressure=pressure, say=say, notes=notes, way=_way(potential, crystal, say),
        )
        results = _computed(properties, study)
    notes += cautions(results, posterior, potential)
    spreads = {}
    if posterior is not None:
        with _collected(notes):
            spreads = card_spreads(posterior, study, results, properties)
    meta = {"name": name, "model": _about(potential, model)}
    for prop in entries.PROPERTIES:
        if prop.meta is not None:
            meta |= prop.meta(results, spreads, study)
    written = [entry for prop in entries.PROPERTIES for entry in prop.entries]
    meta |= {
        "settings": {
            "mesh": mesh, "dos_mesh": dos_mesh, "points": points, "temperature_K": ROOM, "temperatures_K": asked,
            "pressure_GPa": float(pressure) / units.GPa,
        },
        "definitions": {entry.key: entry.definition for entry in written} | {"sd": _DEVIATION},
        "versions": versions(),
        "warnings": notes,
    }
    values = {entry.key: _written(entry, results, spreads, study) for entry in written}
    return Card(name, values, meta, results, spreads)


def _rounded(potential, crystal, pressure, notes):
    """The potential that the card is of, its crystal, and a note of what is different."""
    rounded = potential.rounded()
    relaxed = relaxed_crystal(rounded, crystal, pressure)
    before, after = (float(evaluate(p, c).energy) / len(c) for p, c in ((potential, crystal), (rounded, relaxed)))
    notes.append(
        f"the energy of this potential has features that are narrower than atoms move, {potential.narrow}: the card is "
        f"of the same model with wider ones (potential.rounded()), energy {1e3 * (after - before):+.3f} meV an atom"
    )
    return rounded, relaxed


def _way(potential, crystal, say):
    """A `Route` for all phonons of the crystal, where it has a mesh to share: of models of several hops."""
    if not potential.local:
        say("second derivatives")
    way = route(potential, crystal, skin=SKIN, what="a phonon", waves=_ANY)[1]
    return way if any(known is not None for known in way.meshes) else None


def _computed(properties, study):
    """The results of all properties, by name; of one that the crystal has not got, a note says why."""
    results = {}
    with ThreadPoolExecutor(1) as pool:
        # Almost all of the time goes into compiling. What takes longest begins here, on a core of its own.
        begun = {
            prop.about: pool.submit(_in_thread, prop.compute, study, _double())
            for prop in properties if prop.progress is not None
        }
        for prop in sorted(properties, key=lambda prop: prop.about in begun):
            study.say(prop.about)
            with _optional(prop.about, study.notes):
                if prop.about in begun:
                    results |= _waited(begun[prop.about], partial(prop.progress, study), study.say)
                else:
                    results |= prop.compute(study)
    return results


def _written(entry, results, spreads, study):
    """An entry of the document: the value with its standard deviation, None where it has none, and its unit."""
    value = entry.value(results, study)
    deviation = None if value is None or not spreads else entry.deviation(spreads, study)
    return {"value": value, "sd": deviation, "unit": entry.unit}


def _about(potential, given):
    """Description of the model: what its class says, and what is given."""
    species = potential.species
    described = {
        "name": type(potential).__name__,
        "class": type(potential).__name__,
        "elements": None if species is None else [symbol(z) for z in species],
        "cutoff_A": float(potential.cutoff),
        "smoothness": int(potential.smoothness),
    }
    if holds_single(potential):
        described["precision"] = "weights in single precision, as they were trained; computed in double"
    return described | (given or {})


def _double():
    """Whether this thread works in double precision; another thread has to be told."""
    return bool(jax.config.jax_enable_x64)


def _in_thread(compute, study, double):
    with jax.enable_x64(double):
        return compute(study)


def _waited(future, progress, say, seconds=10.0):
    """Wait for a thread and return its result, saying every few seconds how far it is."""
    while not wait([future], timeout=seconds).done:
        say(progress())
    return future.result()


def check_size(atoms: int) -> None:
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


def relaxed_crystal(potential: Potential, structure: Structure, pressure: float = 0.0) -> Structure:
    """The primitive cell of a crystal at the minimum of its enthalpy; refuses what does not converge."""
    result = relax(potential, primitive(Structure.of(structure)), cell=True, pressure=pressure)
    if not result.converged:
        raise ConvergenceError(
            f"the crystal did not relax: after {result.steps} steps the largest gradient is {result.fmax:.3g} "
            "eV/A, expected 1e-6; start closer to the minimum (jaxpot relax writes where it came to), or the energy "
            "has a jump or a crease there, as tables have at their cutoff"
        )
    return primitive(result.structure)


# What may be missing, and what was said on the way ---------------------------------------------------------------


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
