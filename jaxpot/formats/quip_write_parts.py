"""Classical potentials as parts of QUIP's XML: Glue, LJ, Morse, SW, Tersoff."""

import itertools
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import numpy as np

from jaxpot.basis.cubic_splines import CubicSpline
from jaxpot.core.elements import name_species
from jaxpot.errors import DataError
from jaxpot.formats.quip_classical import LJ_SHIFTS
from jaxpot.potentials.base import Potential
from jaxpot.potentials.glue import Glue
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.morse import Morse
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.potentials.tersoff import Tersoff

_COSINE = -1 / 3  # of QUIP's SW
_SAME_COSINE = 1e-12  # by which published files round it; 1e-9 eV an atom
_MOST_PARTS = 3
_PAIR_ELEMENTS = {"LJ": ("per_pair_data", "type1", "type2"), "Morse": ("pair", "atnum_i", "atnum_j")}
_NO_RANGE = 1e-6  # A
_DENSITY_POINTS = 5


def write_parts(
    terms: Sequence[tuple[float, Potential]], species: Sequence[int]
) -> list[tuple[str, ElementTree.Element]]:
    """The sections that `IP kind label=...` refer to: a list of (kind, section), with labels part1, part2, ...

    Args:
        terms: pairs (factor, potential of a type in `PARTS`).
        species: elements for which a potential of every element is written.

    Raises:
        DataError: what QUIP's potentials cannot express.
    """
    found: list[tuple[str, ElementTree.Element]] = []
    pairs: dict[str, list] = {}
    for factor, potential in terms:
        kind, write = PARTS[type(potential)]
        own = potential.species or tuple(sorted(species))
        if kind in _PAIR_ELEMENTS:
            _merge(pairs.setdefault(kind, []), write(factor, potential, own))
        else:
            section = ElementTree.Element(f"{kind}_params")
            write(section, factor, potential, own)
            found.append((kind, section))
    found += [(kind, _pair_section(kind, group)) for kind, groups in pairs.items() for group in groups]
    if len(found) > _MOST_PARTS:
        kinds = ", ".join(kind for kind, _ in found)
        raise DataError(f"QUIP reads at most {_MOST_PARTS} classical parts beside a GAP; expected fewer than {kinds}")
    for k, (_, section) in enumerate(found, 1):
        section.set("label", f"part{k}")
    return found


def nested_sum(words: Sequence[str]) -> str:
    """`init_args` of a sum of parts. QUIP reads sums in sums, but no deeper, so that the tree is balanced."""
    if len(words) == 1:
        return words[0]
    half = len(words) // 2
    first, second = nested_sum(words[:half]), nested_sum(words[half:])
    return f"Sum init_args_pot1={{{first}}} init_args_pot2={{{second}}}"


def digits(number: float) -> str:
    """17 significant digits: enough for any double."""
    return f"{float(number):.16e}"


def _put(parent, name, **values):
    words = {key: str(value) if isinstance(value, int | str) else digits(value) for key, value in values.items()}
    return ElementTree.SubElement(parent, name, words)


def _types(root, species, **values):
    """One `per_type_data` for each species; values are arrays over these."""
    root.set("n_types", str(len(species)))
    found = []
    for k, z in enumerate(species):
        own = {name: float(array[k]) for name, array in values.items()}
        found.append(_put(root, "per_type_data", type=k + 1, atomic_num=z, **own))
    return found


def _pairs(species):
    return itertools.combinations_with_replacement(range(len(species)), 2)


def _table(values, species, order=2):
    """A parameter as an array over species."""
    values = np.asarray(values, np.float64)
    return np.broadcast_to(values.reshape(()) if values.size == 1 else values, (len(species),) * order)


def _glue(root, factor, glue, species):
    reach = np.ones(len(species)) if glue.embedding is None else np.asarray(glue.density_cutoffs)
    density = np.zeros(len(species)) if glue.embedding is None else np.asarray(glue.density)
    nothing = CubicSpline(np.array([0.0, 1.0]), np.zeros(2), np.zeros(2))
    for k, node in enumerate(_types(root, species)):
        # QUIP asks for slopes, and fits a cube without them.
        slope = -3.0 * density[k] * reach[k] ** 2
        table = _put(node, "density", num_points=_DENSITY_POINTS, density_y1=float(slope), density_yn=0.0)
        for share in np.arange(_DENSITY_POINTS) / (_DENSITY_POINTS - 1):
            _put(table, "point", a=share * reach[k], rho=density[k] * ((1.0 - share) * reach[k]) ** 3)
        spline = nothing if glue.embedding is None else glue.embedding[k]
        _spline(node, "potential_density", ("rho", "E"), spline, factor, spline.slopes)
    for (one, two), spline in zip(glue.pair_elements, glue.pairs, strict=True):
        node = _put(root, "per_pair_data", type1=species.index(one) + 1, type2=species.index(two) + 1)
        # A natural end is one with the slope that it has.
        slopes = spline.slopes if spline.slopes is not None else np.asarray(spline.pieces()[1])[[0, -1]]
        _spline(node, "potential_pair", ("r", "E"), spline, factor, slopes)


def _spline(parent, name, axes, spline, factor, slopes):
    ends = {} if slopes is None else {"y1": factor * float(slopes[0]), "yn": factor * float(slopes[1])}
    table = _put(parent, name, num_points=len(spline.knots), **ends)
    for x, y in zip(spline.knots, spline.values, strict=True):
        _put(table, "point", **{axes[0]: float(x), axes[1]: factor * float(y)})


def _lennard_jones(factor, potential, species):
    """Attributes by pair; the strength first."""
    shifts = {shift: flags for flags, shift in LJ_SHIFTS.items()}.get(potential.shift)
    if shifts is None:
        expected = ", ".join(map(repr, LJ_SHIFTS.values()))
        raise DataError(f"LennardJones with shift={potential.shift!r} is not in QUIP; expected one of {expected}")
    epsilon, sigma = _table(potential.epsilon, species), _table(potential.sigma, species)
    energy, force = ("T" if flag else "F" for flag in shifts)
    return {
        (species[i], species[j]): {
            "eps6": 4.0 * factor * float(epsilon[i, j]), "eps12": 4.0 * factor * float(epsilon[i, j]),
            "sigma": float(sigma[i, j]), "cutoff": potential.cutoff, "energy_shift": energy,
            "linear_force_shift": force,
        }
        for i, j in _pairs(species)
    }


def _morse(factor, potential, species):
    """Attributes by pair; the strength first."""
    depth, alpha, r0 = (_table(a, species) for a in (potential.depth, potential.alpha, potential.r0))
    return {
        (species[i], species[j]): {
            "D": factor * float(depth[i, j]), "r0": float(r0[i, j]), "alpha": float(alpha[i, j]),
            "cutoff": potential.cutoff,
        }
        for i, j in _pairs(species)
    }


def _merge(groups, pairs):
    """Put the pairs of one term where no others are that interact: in QUIP each pair has its own cutoff."""
    pairs = {tuple(sorted(pair)): values for pair, values in pairs.items()}
    for group in groups:
        if not any(_strength(pairs[p]) and _strength(group[p]) for p in pairs if p in group):
            group |= {p: values for p, values in pairs.items() if p not in group or _strength(values)}
            return
    groups.append(pairs)


def _strength(values):
    return next(iter(values.values()))


def _pair_section(kind, pairs):
    """QUIP needs every pair of the elements: those that are missing have the strength 0."""
    root = ElementTree.Element(f"{kind}_params")
    species = sorted({z for pair in pairs for z in pair})
    one = next(iter(pairs.values()))
    nothing = one | {name: 0.0 for name in ("eps6", "eps12", "D") if name in one}
    name, first, second = _PAIR_ELEMENTS[kind]
    root.set("n_types", str(len(species)))
    if kind == "LJ":
        _types(root, species)
    for i, j in _pairs(species):
        pair = species[i], species[j]
        types = {first: i + 1, second: j + 1} if kind == "LJ" else {first: pair[0], second: pair[1]}
        _put(root, name, **types, **pairs.get(pair, nothing))
    return root


def _stillinger_weber(root, factor, sw, species):
    if np.any(np.asarray(sw.tol)):
        raise DataError(f"StillingerWeber with tol={sw.tol} is not in QUIP; expected 0")
    epsilon, lam, cosine = (_table(a, species, 3) for a in (sw.epsilon, sw.lam, sw.cos_theta0))
    strength = lam * epsilon
    if np.abs((cosine - _COSINE)[strength != 0.0]).max(initial=0.0) > _SAME_COSINE:
        raise DataError("StillingerWeber with cos_theta0 other than -1/3 is not in QUIP")
    pair = {name: _table(getattr(sw, name), species) for name in ("sigma", "a", "A", "B", "gamma", "p", "q")}
    places = range(len(species))
    for c, j, k in itertools.product(places, places, places):
        if strength[c, j, k] and pair["gamma"][c, j] != pair["gamma"][c, k]:
            names = name_species((species[c], species[j])), name_species((species[c], species[k]))
            raise DataError(
                f"StillingerWeber: gamma of {names[0]} is {pair['gamma'][c, j]:g}, of {names[1]} "
                f"{pair['gamma'][c, k]:g}: in QUIP a triplet has one gamma"
            )
    _types(root, species)
    for i, j in _pairs(species):
        same = {name: float(pair[name][i, j]) for name in ("p", "q")}
        # A pair without a length does not interact: in QUIP one of any length without a range.
        length = float(pair["sigma"][i, j])
        same |= {"sigma": length or 1.0, "a": float(pair["a"][i, j]) if length else _NO_RANGE}
        _put(root, "per_pair_data", atnum_i=species[i], atnum_j=species[j], AA=float(pair["A"][i, j]),
             BB=float(pair["B"][i, j]), eps=factor * float(epsilon[i, j, j]), **same)
    for c, j, k in itertools.product(places, places, places):
        numbers = {"lambda": float(lam[c, j, k]), "gamma": float(pair["gamma"][c, j])}
        _put(root, "per_triplet_data", atnum_c=species[c], atnum_j=species[j], atnum_k=species[k],
             eps=factor * float(epsilon[c, j, k]), **numbers)


def _tersoff(root, factor, tersoff, species):
    if factor <= 0.0:
        raise DataError(f"Tersoff times {factor:g} is not in QUIP: expected a positive factor")
    chi = _table(tersoff.chi, species)
    scales = {"A": factor, "B": factor} | dict.fromkeys(("lambda", "mu", "beta", "n", "c", "d", "h", "R", "S"), 1.0)
    values = {name: getattr(tersoff, name.replace("lambda", "lam")) * scale for name, scale in scales.items()}
    _types(root, species, **{name: np.broadcast_to(value, len(species)) for name, value in values.items()})
    for i, j in _pairs(species):
        _put(root, "per_pair_data", type1=j + 1, type2=i + 1, chi=float(chi[i, j]))


PARTS: dict[type, tuple[str, Callable]] = {
    Glue: ("Glue", _glue), LennardJones: ("LJ", _lennard_jones), Morse: ("Morse", _morse),
    StillingerWeber: ("SW", _stillinger_weber), Tersoff: ("Tersoff", _tersoff),
}
