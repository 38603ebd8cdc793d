"""Neuroevolution potentials (NEP), the text files of GPUMD: `nep.txt` and others, known by their first word."""

import math
import re
from typing import NamedTuple

import numpy as np

from jaxpot.basis.moment_invariants import COUPLINGS, LARGEST_DEGREE
from jaxpot.core.elements import atomic_number, symbol
from jaxpot.descriptors.neuroevolution import NeuroevolutionDescriptor
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.covalent_radii import covalent_radius
from jaxpot.formats.nep_write import write_nep
from jaxpot.formats.record import SPECIES, Family, Format
from jaxpot.formats.text import Lines, shown
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.described import Described
from jaxpot.potentials.faded_zbl import FadedZBL
from jaxpot.potentials.parameters import species_numbers
from jaxpot.readouts.element_networks import ElementNetworks
from jaxpot.readouts.network import MLP
from jaxpot.readouts.neural import Neural
from jaxpot.typing import Elements, FilePath

KINDS = ("nep3", "nep3_zbl", "nep4", "nep4_zbl")
_OTHERS = {  # part of the first word: what it stands for
    "charge": "a NEP with charges (qNEP)",
    "dipole": "a NEP of dipole moments",
    "polarizability": "a NEP of polarizabilities",
    "temperature": "a NEP of the free energy of electrons at a temperature",
    "vdw": "a NEP with dispersion",
}
_LARGEST = {"n_max": 40, "basis_size": 40}
_MOST_NEURONS = 2000


def read_nep(path: FilePath, species: Elements | None = None) -> Potential:
    """Read a NEP of version 3 (one network for all elements) or 4 (one for each), with or without ZBL.

    E = sum_i [w1 . tanh(w0 q_i - b0) - b1] with the vector q_i of a `NeuroevolutionDescriptor`, each component scaled.

    Lines: nep4 or nep4_zbl, the number of elements and their symbols; zbl with its radii; cutoff with those of the
    radial and the angular part, and how many neighbours GPUMD makes room for; n_max; basis_size; l_max with the
    invariants of several degrees; ANN with the number of neurons. Then one number a line: w0, b0 and w1 of each
    network, b1, the coefficients of the descriptor, the scales, and, where both radii of zbl are 0, ten numbers of each
    pair of elements.

    Args:
        path: the file.
        species: those elements of the model that structures have: it is faster then, and the energies are the same.

    Returns:
        A `Described`; with ZBL, a `Sum` of that and a `FadedZBL`.

    Raises:
        FormatError: not such a file, another kind of NEP, or numbers that are missing or impossible.
        DataError: elements that the model does not know.

    References:
        Z. Fan et al., J. Chem. Phys. 157, 114801 (2022); documentation of GPUMD, file formats of `nep.txt`.
    """
    lines = Lines(path)
    head = _head(lines)
    known, inputs, hidden = head.species, head.inputs, head.hidden
    count, networks = len(known), head.networks
    layers = np.array(lines.numbers(networks * (inputs + 2) * hidden, "network")).reshape(networks, -1)
    offset = -lines.numbers(1, "bias of the energy")[0]
    shapes = ((n, b, count, count) for n, b in zip(head.n_max, head.basis_size, strict=True))
    radial, angular = (
        np.array(lines.numbers(math.prod(shape), f"{name} coefficients")).reshape(shape).transpose(2, 3, 0, 1)
        for name, shape in zip(("radial", "angular"), shapes, strict=True)
    )
    factor = np.array(lines.numbers(inputs, "scales"))
    tail = np.array(lines.numbers(5 * count * (count + 1), "zbl of pairs")) if head.zbl == "flexible" else None
    if lines.more():
        lines.next("end")
        raise lines.error("expected the end of the file after the last number of the model")
    chosen = _some_of(known, species, path)
    places = [known.index(z) for z in chosen]
    by_element = networks > 1 and len(chosen) > 1
    few = np.ix_(places, places)
    radii, shorter = (tuple(r[k] for k in places) if len(r) > 1 else r for r in head.cutoffs)
    try:
        descriptor = NeuroevolutionDescriptor(
            radial[few], angular[few], chosen, radii, shorter, head.l_max, head.couplings, by_element
        )
        w0, b0, w1 = np.split(layers, [inputs * hidden, (inputs + 1) * hidden], axis=1)
        w0 = w0.reshape(networks, hidden, inputs).swapaxes(1, 2)
        if networks > 1:
            w0, b0, w1 = w0[places], b0[places], w1[places]
        potential = Described(descriptor, _readout(w0, -b0, w1, offset, factor, by_element), chosen)
        return potential if head.zbl is None else Sum.of(potential, _zbl(head.zbl, tail, known, chosen))
    except DataError as error:
        raise FormatError(str(error), lines.path) from error


class _Head(NamedTuple):
    """The lines in front of the numbers; a network for each element, or one; sizes with the 1 that the file omits."""

    species: tuple
    networks: int
    zbl: tuple | str | None
    cutoffs: tuple
    n_max: list
    basis_size: list
    l_max: int
    couplings: tuple
    hidden: int

    @property
    def inputs(self):
        """Of a network."""
        return self.n_max[0] + self.n_max[1] * (self.l_max + len(self.couplings))


def _head(lines):
    kind, species = _first(lines)
    zbl = _zbl_line(lines) if kind.endswith("_zbl") else None
    cutoffs = _cutoffs(lines, len(species))
    n_max, basis = ([1 + k for k in _two(lines, name)] for name in ("n_max", "basis_size"))
    degrees = _degrees(lines)
    words = _keyword(lines, "ANN", 1, 2)
    hidden = lines.count(words[0], "ANN", 1, _MOST_NEURONS)
    for word in words[1:]:
        lines.count(word, "neurons of a second layer", 0, 0)
    head = _Head(species, len(species) if kind.startswith("nep4") else 1, zbl, cutoffs, n_max, basis, *degrees, hidden)
    total = head.networks * (head.inputs + 2) * hidden + 1 + head.inputs
    total += sum(n * b for n, b in zip(n_max, basis, strict=True)) * len(species) ** 2
    if 2 * total > lines.size:  # a digit and the end of a line each
        raise lines.error(f"expected {total} numbers to follow, but the file is too short for that; it is truncated")
    return head


def _first(lines):
    """The kind, and the elements."""
    words = lines.next("kind")
    if words[0] not in KINDS:
        what = next((about for name, about in _OTHERS.items() if name in words[0]), "another kind of NEP")
        raise lines.error(f"this is {what}, which is not read: expected {', '.join(KINDS)}; got {shown(words[0])}")
    count = lines.count(words[1] if len(words) > 1 else "", "number of elements", 1, 118)
    if len(words) != 2 + count:
        raise lines.error(f"expected {count} elements, got {len(words) - 2}", "elements")
    try:
        return words[0], species_numbers(tuple(atomic_number(word) for word in words[2:]))
    except DataError as error:
        raise lines.error(str(error), "elements") from error


def _keyword(lines, name, least, most):
    """Words behind a keyword."""
    keyword, *words = lines.next(name)
    if keyword != name or not least <= len(words) <= most:
        expected = f"{least} to {most}" if most > least else f"{least}"
        raise lines.error(f"expected {name} and {expected} numbers, got {shown(' '.join((keyword, *words)))}", name)
    return words


def _two(lines, name):
    return [lines.count(word, name, 0, _LARGEST[name]) for word in _keyword(lines, name, 2, 2)]


def _zbl_line(lines):
    """Inner and outer radius, and the factor of covalent radii or None; "flexible" for numbers of pairs."""
    words = _keyword(lines, "zbl", 2, 3)
    inner, outer = (lines.number(word, "zbl") for word in words[:2])
    if inner == outer == 0.0:
        return "flexible"
    if not 0.0 <= inner < outer:
        raise lines.error(f"expected 0 <= inner < outer, got {inner:g} and {outer:g}", "zbl")
    return inner, outer, lines.positive(words[2], "zbl") if len(words) == 3 else None


def _cutoffs(lines, count):
    """Radial and angular radii, a tuple each: one, or one for each element."""
    words = _keyword(lines, "cutoff", 2, 2 * count + 2)
    if len(words) not in (2, 4, 2 * count + 2):
        raise lines.error(f"expected 4 or {2 * count + 2} numbers, got {len(words)}", "cutoff")
    for word in words[2 * ((len(words) - 1) // 2) :]:
        lines.number(word, "cutoff")
    radii = [lines.positive(word, "cutoff") for word in (words if len(words) == 2 else words[:-2])]
    return tuple(radii[::2]), tuple(radii[1::2])


def _degrees(lines):
    """The largest l, and names of the invariants of several degrees: 0 or 1 each, or of old files 2 for the first."""
    words = _keyword(lines, "l_max", 1, 1 + len(COUPLINGS))
    largest, *flags = (lines.count(word, "l_max", 0, LARGEST_DEGREE if k == 0 else 2) for k, word in enumerate(words))
    if any(flag == 2 for flag in flags[1:]):
        raise lines.error("expected 0 or 1 behind the second number", "l_max")
    couplings = tuple(name for name, flag in zip(COUPLINGS, flags, strict=False) if flag)
    high = [name for name in couplings if int(max(name)) > largest]
    if high:
        raise lines.error(f"expected {max(high[0])} or more, since there are invariants of that degree", "l_max")
    return largest, couplings


def _some_of(known, asked, path):
    """The elements that are asked for, in the order of the model."""
    if asked is None:
        return known
    asked = species_numbers(asked)
    if not set(asked) <= set(known):
        strange = [symbol(z) for z in asked if z not in known]
        raise DataError(f"species: {path} knows {', '.join(map(symbol, known))}, not {', '.join(strange)}")
    return tuple(z for z in known if z in asked)


def _readout(w0, b0, w1, offset, factor, by_element):
    if by_element:
        return ElementNetworks(w0, b0, w1, np.array(offset), factor)
    network = MLP((w0[0], w1[0][:, None]), (b0[0], np.array([offset])), ("tanh", "identity"))
    return Neural(network, np.zeros(len(factor)), factor)


def _zbl(settings, tail, known, chosen):
    """The repulsion, of some of the elements."""
    if settings != "flexible":
        inner, outer, scale = settings
        if scale is None:
            return FadedZBL(chosen, inner, outer)
        pairs = FadedZBL(chosen, 0.0, outer).pairs
        radii = {z: covalent_radius(z) for z in chosen}
        unknown = [symbol(z) for z, radius in radii.items() if radius is None]
        if unknown:
            raise DataError(f"zbl: there is no covalent radius of {', '.join(unknown)}, which the factor asks for")
        reach = [min(scale * (radii[a] + radii[b]), outer) for a, b in pairs]
        return FadedZBL(chosen, 0.0, tuple(reach))
    table = dict(zip(FadedZBL(known, 0.0, 1.0).pairs, tail.reshape(-1, 10), strict=True))
    rows = np.array([table[pair] for pair in FadedZBL(chosen, 0.0, 1.0).pairs])
    factors = (a[0] if (a == a[0]).all() else a for a in (rows[:, 2::2], rows[:, 3::2]))
    return FadedZBL(chosen, tuple(rows[:, 0]), tuple(rows[:, 1]), *factors)


def _is_nep(head, path):
    return re.match(rb"\s*nep\d\w*[ \t]+\d+[ \t]+[A-Z]", head) is not None


FORMAT = Format(
    name="NEP of GPUMD (nep.txt; first word nep3 or nep4)",
    family=Family.MACHINE_LEARNED,
    contents=_is_nep,
    read=read_nep,
    options=(SPECIES,),
    write=write_nep,
    written_as=(".txt", ".nep"),
)
