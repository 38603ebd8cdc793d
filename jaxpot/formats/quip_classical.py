"""The classical parts of a sum with a GAP, from QUIP's XML parameters: Glue, LJ, Morse, SW, Tersoff."""

import math
from typing import Any

import numpy as np

from jaxpot.basis.cubic_splines import CubicSpline
from jaxpot.core.elements import SYMBOLS, name_species
from jaxpot.errors import DataError
from jaxpot.formats.quip_document import Document
from jaxpot.formats.text import SMALLEST
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.glue import Glue
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.morse import Morse
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.potentials.tersoff import Tersoff

_MOST_TYPES = 200
_MOST_POINTS = 100_000
LJ_SHIFTS = {  # (energy_shift, linear_force_shift)
    (False, False): "none", (True, False): "energy", (False, True): "slope", (True, True): "force",
}
_MORSE_END = 1e-8  # exp(-alpha (r - r0)) where QUIP ends a pair that has no cutoff


def read_classical(document: Document, kind: str, label: str | None, known: Any) -> Potential:
    """The potential of one part `IP kind label=...` of a file.

    Args:
        document: a `Document`.
        kind: one of `CLASSICAL`.
        label: of the section, or None: there must be one section only.
        known: the elements of the GAP. A Glue may lack some of them (they do not take part in it); the others
            restrict the sum to elements that they know.
    """
    name = f"{kind}_params"
    found = [s for s in document.sections if s.name == name and label in (None, s.attributes.get("label"))]
    if len(found) != 1:
        wanted = name if label is None else f"{name} with the label {label}"
        raise document.error(f"expected one {wanted}, found {len(found)}", "init_args", 1)
    try:
        return CLASSICAL[kind](_Reader(document, found[0]), known)
    except DataError as error:
        raise document.error(str(error), name, found[0].line) from error


class _Reader:
    """Numbers of a section, and its elements by type."""

    def __init__(self, document, section):
        self.document, self.section = document, section

    def error(self, message, element, field=None):
        return self.document.error(message, field or element.name, element.line)

    def number(self, element, name, default=None):
        return self.document.number(element.attributes, name, default, element.line)

    def flag(self, element, name):
        word = element.attributes.get(name, "").strip(". ").upper()
        if word[:1] not in ("T", "F"):
            raise self.error(f"expected T or F, got {word!r}", element, name)
        return word[:1] == "T"

    def element_number(self, element, name):
        z = self.document.count(element.attributes, name, len(SYMBOLS) - 1, line=element.line)
        if z == 0:
            raise self.error("expected an atomic number, got 0", element, name)
        return z

    def children(self, parent, name):
        return [child for child in parent.children if child.name == name]

    def only(self, parent, name):
        found = self.children(parent, name)
        if len(found) != 1:
            raise self.error(f"expected one {name}, found {len(found)}", parent)
        return found[0]

    def types(self):
        """{type: (atomic number, element)} of all `per_type_data`."""
        found = {}
        for element in self.children(self.section, "per_type_data"):
            kind = self.document.count(element.attributes, "type", _MOST_TYPES, line=element.line)
            z = self.element_number(element, "atomic_num")
            if kind in found or z in (other for other, _ in found.values()):
                raise self.error(f"type {kind}, {SYMBOLS[z]}, is given twice", element)
            found[kind] = (z, element)
        if not found:
            raise self.error("there is no per_type_data", self.section)
        return found

    def pairs(self, types, name="per_pair_data"):
        """{(Z, Z): element} by type numbers, the smaller Z first."""
        found = {}
        for element in self.children(self.section, name):
            key = []
            for field in ("type1", "type2"):
                kind = self.document.count(element.attributes, field, _MOST_TYPES, line=element.line)
                if kind not in types:
                    raise self.error(f"there is no type {kind}", element, field)
                key.append(types[kind][0])
            self.put(found, tuple(sorted(key)), element)
        return found

    def put(self, found, key, element):
        if key in found:
            raise self.error(f"{'-'.join(SYMBOLS[z] for z in key)} is given twice", element)
        found[key] = element

    def points(self, element, x, y):
        """Ascending knots and values of `point` elements, as many as announced."""
        points = [(self.number(p, x), self.number(p, y)) for p in self.children(element, "point")]
        announced = self.document.count(element.attributes, "num_points", _MOST_POINTS, line=element.line)
        if announced != len(points) or announced < 2:
            raise self.error(f"{announced} points are announced, there are {len(points)}; expected 2 at least", element)
        knots, values = np.array(points).T
        if not (np.diff(knots) > 0).all():
            raise self.error("expected points in ascending order", element)
        return knots, values


def _glue(reader, known):
    types = reader.types()
    embedding, embeds, density, reach = {}, {}, {}, {}
    for z, element in types.values():
        knots, values = reader.points(reader.only(element, "density"), "a", "rho")
        # QUIP fits c (R - r)^3 to the points; the slopes that the file gives do not enter.
        cubes = (knots[-1] - knots) ** 3
        density[z], reach[z] = cubes @ values / (cubes @ cubes), knots[-1]
        table = reader.only(element, "potential_density")
        slopes = None
        if {"y1", "yn"} & set(table.attributes):
            slopes = [reader.number(table, "y1"), reader.number(table, "yn")]
        knots, values = reader.points(table, "rho", "E")
        embedding[z] = CubicSpline(knots, values, slopes)
        embeds[z] = bool(np.any(values)) or any(slopes or ())
    pairs = {}
    for pair, element in reader.pairs(types).items():
        table = reader.only(element, "potential_pair")
        slopes = [reader.number(table, "y1", 0.0), reader.number(table, "yn", 0.0)]
        pairs[pair] = CubicSpline(*reader.points(table, "r", "E"), slopes)
    pairs = {pair: spline for pair, spline in pairs.items() if set(pair) <= set(known)}
    if not any(embeds[z] for z in embedding if z in known):
        return Glue(pairs, known)
    nothing = CubicSpline(np.array([0.0, 1.0]), np.zeros(2))
    return Glue(
        pairs, known, tuple(embedding.get(z, nothing) for z in known),
        np.array([density.get(z, 0.0) for z in known]), np.array([reach.get(z, 1.0) for z in known]),
    )


def _lennard_jones(reader, known):
    types = reader.types()
    groups = {}
    for pair, element in reader.pairs(types).items():
        six, twelve = reader.number(element, "eps6"), reader.number(element, "eps12")
        if six * twelve <= 0.0 and (six or twelve):
            raise reader.error(f"expected eps6 and eps12 of one sign, got {six} and {twelve}", element)
        shifts = tuple(reader.flag(element, name) for name in ("energy_shift", "linear_force_shift"))
        if reader.number(element, "smooth_cutoff_width", 0.0):
            raise reader.error(
                "a smooth end is not read: there QUIP's forces are not the derivatives of its energy, so that no "
                "potential has both; expected 0", element, "smooth_cutoff_width",
            )
        for name in ("tail_corr_factor", "tail_corr_const"):
            if reader.number(element, name, 0.0):
                raise reader.error("corrections for tails are not read; expected 0", element, name)
        shift = LJ_SHIFTS[shifts]
        epsilon, sigma = 0.0, reader.number(element, "sigma")
        if six:
            epsilon, sigma = six**2 / (4 * twelve), sigma * (twelve / six) ** (1 / 6)
        groups.setdefault((reader.number(element, "cutoff"), shift), {})[pair] = (epsilon, sigma)
    species = tuple(sorted(z for z, _ in types.values()))

    def term(group, pairs):
        return LennardJones(*_tables(species, pairs, (0.0, 1.0)), *group, species)

    return _sum_of_groups(reader, groups, term)


def _morse(reader, known):
    groups, found = {}, {}
    for element in reader.children(reader.section, "pair"):
        pair = tuple(sorted(reader.element_number(element, name) for name in ("atnum_i", "atnum_j")))
        reader.put(found, pair, element)
        depth, alpha, r0 = (reader.number(element, name) for name in ("D", "alpha", "r0"))
        if alpha <= 0.0:
            raise reader.error(f"expected a positive number, got {alpha}", element, "alpha")
        cutoff = reader.number(element, "cutoff", r0 - math.log(_MORSE_END) / alpha)
        groups.setdefault(cutoff, {})[pair] = (depth, alpha, r0)
    species = tuple(sorted({z for pair in found for z in pair}))

    def term(cutoff, pairs):
        return Morse(*_tables(species, pairs, (0.0, 1.0, 1.0)), cutoff, species)

    return _sum_of_groups(reader, groups, term)


def _sum_of_groups(reader, groups, term):
    """Pairs that end alike make one potential."""
    if not groups:
        raise reader.error("there are no pairs", reader.section)
    return Sum.of(*(term(group, pairs) for group, pairs in groups.items()))


def _tables(species, pairs, absent):
    """Symmetric (S, S) arrays, one for each parameter of a pair; `absent` stands where there is no pair."""
    tables = [np.full((len(species),) * 2, value) for value in absent]
    for (one, two), values in pairs.items():
        i, j = species.index(one), species.index(two)
        for table, value in zip(tables, values, strict=True):
            table[i, j] = table[j, i] = value
    return tables


def _stillinger_weber(reader, known):
    species = tuple(sorted(z for z, _ in reader.types().values()))
    names = ("sigma", "a", "AA", "BB", "eps", "p", "q")
    pairs = {}
    for element in reader.children(reader.section, "per_pair_data"):
        pair = _of(reader, element, species, "atnum_i", "atnum_j")
        reader.put(pairs, tuple(sorted(pair)), element)
    values = {pair: [reader.number(element, name) for name in names] for pair, element in pairs.items()}
    sigma, a, big_a, big_b, eps, p, q = _tables(species, values, (0.0, 1.0, 0.0, 0.0, 0.0, 4.0, 0.0))
    triplets = {}
    for element in reader.children(reader.section, "per_triplet_data"):
        centre, j, k = _of(reader, element, species, "atnum_c", "atnum_j", "atnum_k")
        parameters = tuple(reader.number(element, name) for name in ("lambda", "gamma", "eps"))
        for key in ((centre, j, k), (centre, k, j)):
            if triplets.setdefault(key, parameters) != parameters:
                raise reader.error(f"{'-'.join(SYMBOLS[z] for z in key)} is given twice, with other numbers", element)
    # gamma belongs to a triplet here, and to a pair in `StillingerWeber`: triplets of one centre with different
    # gammas go to different terms, of which the first has the pairs.
    gammas = [sorted({g for (c, _, _), (_, g, _) in triplets.items() if c == z}) for z in species]
    terms = []
    for k in range(max(1, *map(len, gammas))):
        gamma = [parameters[min(k, len(parameters) - 1)] if parameters else 1.0 for parameters in gammas]
        strength = np.zeros((len(species),) * 3)
        for key, (lam, g, energy) in triplets.items():
            place = tuple(species.index(z) for z in key)
            if gammas[place[0]][k : k + 1] == [g]:
                strength[place] = lam * energy
        terms.append(StillingerWeber(
            epsilon=1.0, sigma=sigma, a=a, lam=strength, gamma=np.repeat(np.array(gamma)[:, None], len(species), 1),
            cos_theta0=-1 / 3, A=big_a * eps if k == 0 else 0.0, B=big_b, p=p, q=q, species=species,
        ))
    return Sum.of(*terms)


def _of(reader, element, species, *names):
    """Elements by atomic number, which must have a type."""
    found = tuple(reader.element_number(element, name) for name in names)
    if not set(found) <= set(species):
        raise reader.error(f"expected elements of {name_species(species)}, got {name_species(found)}", element)
    return found


def _tersoff(reader, known):
    types = reader.types()
    names = ("A", "B", "lambda", "mu", "beta", "n", "c", "d", "h", "R", "S")
    values = {z: [reader.number(element, name) for name in names] for z, element in types.values()}
    for z, element in types.values():
        for name in ("d", "n"):  # what is divided by
            if values[z][names.index(name)] < SMALLEST:
                raise reader.error(f"expected a positive number, {SMALLEST:g} or more", element, name)
    species = tuple(sorted(values))
    chi = {pair: (reader.number(element, "chi"),) for pair, element in reader.pairs(types).items()}
    missing = [(a, b) for a in species for b in species if a <= b and (a, b) not in chi]
    if missing:
        raise reader.error(f"there is no chi of {name_species(missing[0])}", reader.section, "per_pair_data")
    return Tersoff(*np.array([values[z] for z in species]).T, chi=_tables(species, chi, (1.0,))[0], species=species)


CLASSICAL = {"Glue": _glue, "LJ": _lennard_jones, "Morse": _morse, "SW": _stillinger_weber, "Tersoff": _tersoff}
