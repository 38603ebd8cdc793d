"""ANI potentials in the folders of NeuroChem: `.params`, `sae_linfit.dat`, `train0/networks/ANN-H.nnf` and so on."""

import os
import re
from pathlib import Path

import jax
import numpy as np

from jaxpot.core.elements import atomic_number, symbol
from jaxpot.core.precision import to_device
from jaxpot.descriptors.environment_vectors import AtomicEnvironmentVectors
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.networks.committees import posterior_of
from jaxpot.formats.ani_network import inside, read_network
from jaxpot.formats.record import SPECIES, Family, Format, Option
from jaxpot.formats.text import Lines, shown
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.potentials.parameters import species_numbers
from jaxpot.potentials.posterior import Posterior
from jaxpot.readouts.network import Averaged
from jaxpot.readouts.neural import Neural
from jaxpot.typing import Elements, FilePath

HARTREE = 27.211386024367243  # eV, as in TorchANI
_ENDING, _ENERGIES = ".params", "sae_linfit.dat"
_CUTOFFS = {"Rcr": "cutoff", "Rca": "angular_cutoff"}
_SINGLE = {"EtaR": "eta", "EtaA": "angular_eta", "Zeta": "zeta"}
_LISTS = {"ShfR": "shifts", "ShfA": "angular_shifts", "ShfZ": "angles"}
_NEEDED = {**_CUTOFFS, **_SINGLE, **_LISTS, "Atyp": "species"}
_FIXED = {"DESC": "ANI_NORMAL", "TM": "1", "CG": "0", "RP": "0", "AC": "0"}  # another value would be another model
_LONGEST = 10**6  # components of a vector


def read_ani(path: FilePath, species: Elements | None = None, member: int | None = None) -> Potential | Posterior:
    """Read a folder: an ensemble of networks, or one of them.

    E = sum_i [mean over the members of network of the element of i (environment vector of i) + self energy] Hartree

    Args:
        path: the folder, with one `.params` file (the environment vectors), `sae_linfit.dat` (self energies) and for
            each member `train0/networks/` and so on, with an `ANN-X.nnf` and its weights for each element.
        species: those elements of the model that structures have: the vectors are shorter, and the energies the same.
        member: number of the one network to read, from 0; None: all.

    Returns:
        A `Posterior`: its potential is the mean of the members, and its bars are their spread. A potential where one
        member is asked for, or there is only one: a `Described` for each element, and `Constants`.

    Raises:
        FormatError: files that are missing or damaged, do not belong together, or hold what is not supported.
        DataError: a member that is not there, or elements that the model does not know.

    References:
        J. S. Smith et al., J. Chem. Phys. 148, 241733 (2018), for ANI-1x; C. Devereux et al., J. Chem. Theory Comput.
        16, 4192 (2020), for ANI-2x; X. Gao et al., TorchANI, J. Chem. Inf. Model. 60, 3408 (2020), for the files.
    """
    folder = Path(path)
    descriptor = _descriptor(_parameters(folder))
    energies = _self_energies(inside(folder, _ENERGIES), descriptor.species)
    known = _some_of(descriptor.species, species, folder)
    members = _members(folder, member)
    rows, short = descriptor.components_of(known), descriptor.replace(species=known)
    terms: list[Potential] = []
    for element in known:
        networks = [
            read_network(folder, f"train{k}/networks", element, descriptor.dimension, rows) for k in members
        ]
        network = networks[0] if len(members) == 1 else _averaged(networks, members, folder, element)
        readout = Neural(network, np.zeros(len(rows)), np.ones(len(rows)), 0.0, HARTREE)
        terms.append(Described(short.replace(centers=(element,)), readout, known))
    terms.append(Constants({z: energies[z] * HARTREE for z in known}, isolated=False))
    potential = Sum.of(*terms)
    return potential if len(members) == 1 else posterior_of(potential, {})


def _parameters(folder):
    """Path of the file of parameters."""
    names = sorted(path.name for path in folder.glob(f"*{_ENDING}"))
    if len(names) != 1:
        raise FormatError(f"expected one {_ENDING} file in this folder, got {', '.join(names[:4]) or 'none'}", folder)
    return inside(folder, names[0])


def _members(folder, member):
    """Numbers of the members to read."""
    names = (re.fullmatch(r"train(0|[1-9][0-9]{0,3})", path.name) for path in folder.glob("train*"))
    numbers = sorted(int(name[1]) for name in names if name)
    if member is not None:
        chosen = [k for k in numbers if str(member) == str(k)]
        if not chosen:
            expected = f"one of {', '.join(map(str, numbers))}" if numbers else "a folder train0"
            raise DataError(f"member: expected {expected} of {folder}, got {member!r}")
        return chosen
    missing = [k for k in range(max(len(numbers), 1)) if k not in numbers]
    if missing:
        others = f" beside train{numbers[-1]}" if numbers else ""
        raise FormatError(f"expected a folder train{missing[0]}{others}", folder)
    return numbers


def _some_of(known, asked, folder):
    """The elements that are asked for, in the order of the model."""
    if asked is None:
        return known
    asked = species_numbers(asked)
    strange = [symbol(z) for z in asked if z not in known]
    if strange:
        raise DataError(f"species: {folder} knows {', '.join(map(symbol, known))}, not {', '.join(strange)}")
    return tuple(z for z in known if z in asked)


def _descriptor(path):
    """The environment vectors of a file of lines `NAME = value` and `NAME = [value,value]`."""
    lines, values = Lines(path), {}
    while lines.more():
        name, equals, text = (part.strip() for part in " ".join(lines.next("parameters")).partition("="))
        if not equals or name not in {**_NEEDED, **_FIXED}:
            names = ", ".join({**_NEEDED, **_FIXED})
            raise lines.error(f"expected NAME = value with a name among {names}; got {shown(name)}", "parameters")
        if name in values:
            raise lines.error("given before", name)
        if text != _FIXED.get(name, text):
            raise lines.error(f"expected {_FIXED[name]}, no other is supported; got {shown(text)}", name)
        values[name] = text if name in _FIXED else _value(lines, name, text)
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise FormatError(f"expected values of {', '.join(missing)}: they are missing", path)
    try:
        descriptor = AtomicEnvironmentVectors(**{_NEEDED[name]: values[name] for name in _NEEDED})
    except DataError as error:
        raise FormatError(str(error), path) from error
    if descriptor.dimension > _LONGEST:
        raise FormatError(f"expected vectors of at most {_LONGEST} components, got {descriptor.dimension}", path)
    return descriptor


def _value(lines, name, text):
    if name in _CUTOFFS:
        return lines.positive(text, name)
    if not (text.startswith("[") and text.endswith("]")):
        raise lines.error(f"expected [value,value], got {shown(text)}", name)
    words = [word.strip() for word in text[1:-1].split(",")]
    if name == "Atyp":
        try:
            return tuple(atomic_number(word) for word in words)
        except DataError as error:
            raise lines.error(str(error), name) from error
    if name in _LISTS:
        return tuple(lines.number(word, name) for word in words)
    if len(words) != 1:
        raise lines.error(f"expected one number, several are not supported; got {len(words)}", name)
    return lines.positive(words[0], name)


def _self_energies(path, species):
    """Element -> Hartree, of lines `X,place=energy` with the place of the element among the others."""
    lines, energies = Lines(path), {}
    while lines.more():
        text = "".join(lines.next("self energies"))
        found = re.fullmatch(r"([A-Z][a-z]?),([0-9]{1,4})=(\S+)", text)
        places = {f"{symbol(z)},{k}": z for k, z in enumerate(species)}
        element = None if found is None else places.get(f"{found[1]},{found[2]}")
        if found is None or element is None:
            raise lines.error(f"expected X,place=energy of {' '.join(places)}; got {shown(text)}", "self energies")
        if element in energies:
            raise lines.error("given before", symbol(element))
        energies[element] = lines.number(found[3], symbol(element))
    missing = [symbol(z) for z in species if z not in energies]
    if missing:
        raise FormatError(f"expected energies of {', '.join(missing)}: they are missing", path)
    return energies


def _averaged(networks, members, folder, element):
    """The networks of an element as one, their arrays stacked."""
    forms = [(jax.tree.structure(network), [leaf.shape for leaf in jax.tree.leaves(network)]) for network in networks]
    for k, form in enumerate(forms):
        if form != forms[0]:
            raise FormatError(
                f"expected the layers of train{members[0]}, {networks[0]!r}; got {networks[k]!r}",
                folder / f"train{members[k]}/networks/ANN-{symbol(element)}.nnf",
            )
    return Averaged(jax.tree.map(lambda *arrays: to_device(np.stack(arrays)), *networks))


def _is_ani(head, path):
    return os.path.isfile(os.path.join(path, _ENERGIES)) or any(Path(path).glob(f"*{_ENDING}"))


FORMAT = Format(
    name=f"ANI (a folder with {_ENDING} and {_ENERGIES})",
    family=Family.MACHINE_LEARNED,
    contents=_is_ani,
    read=read_ani,
    options=(
        SPECIES,
        Option("member", "number of the one network to read of an ensemble, from 0 (ANI)", metavar="N"),
    ),
)
