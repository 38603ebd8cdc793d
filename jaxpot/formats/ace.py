"""ACE potentials in PACE's files `.yace`, as pacemaker and FitSNAP write them and LAMMPS reads them."""

from typing import Any

import numpy as np
import yaml

from jaxpot.basis.invariant_products import HIGHEST_ORDER
from jaxpot.basis.radial_bases import NAMES, RadialBasis
from jaxpot.core.elements import atomic_number
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.ace_parts import Bond, Embedding, Expansion, Function, NotInvariant, potential_of
from jaxpot.formats.ace_write import write_yace
from jaxpot.formats.record import Family, Format
from jaxpot.formats.text import Lines, float_of, shown
from jaxpot.potentials.base import Potential
from jaxpot.readouts.embedded_densities import FORMS
from jaxpot.typing import FilePath

_DEEPEST = 12
_MOST = 100  # elements of lists of radial functions, degrees, densities


def read_yace(path: FilePath) -> Potential:
    """Read an atomic cluster expansion from PACE's YAML.

    E = sum_i [E_0 + sum_p a_p F(rho_p)], rho_p = sum c~ A A ... over products of the neighbour density; the
    coefficients of each product are taken apart into those of independent invariants (`basis.invariant_products`).

    Returns:
        `Sum` of a `Described` (a `ClusterExpansion` with a `Linear`, or `EmbeddedDensities`) for each element, and
        `Constants`.

    Raises:
        FormatError: what is missing, not known or impossible, with its line; radial functions of ACE.jl; cores by ZBL.

    References:
        R. Drautz, Phys. Rev. B 99, 014104 (2019); Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021).
    """
    root = Node.of_text(path)
    elements = [node.element() for node in root["elements"].items(1, 118)]
    if len(set(elements)) != len(elements):
        raise root["elements"].error("expected different elements")
    count = len(elements)
    energies = [node.number() for node in root["E0"].items(count, count)]
    embeddings = {}
    for key, node in root["embeddings"].pairs():
        embeddings[key.whole(0, count - 1)] = _embedding(node)
    bonds = {}
    for key, node in root["bonds"].pairs():
        first, second = (one.whole(0, count - 1) for one in key.items(2, 2))
        bonds[first, second] = _bond(node)
    for e in range(count):
        if e not in embeddings:
            raise root["embeddings"].error(f"expected an entry for element {e}")
        for other in range(count):
            if (e, other) not in bonds:
                raise root["bonds"].error(f"expected an entry for [{e}, {other}]")
    functions = {}
    for key, node in root["functions"].pairs():
        e = key.whole(0, count - 1)
        functions[e] = [_function(one, count, len(embeddings[e].factors)) for one in node.items(0, 10**6)]
    expansion = Expansion(tuple(elements), tuple(energies), embeddings, bonds, functions)
    try:
        return potential_of(expansion)
    except NotInvariant as error:
        raise FormatError(str(error), path, error.function.line, "ctildes") from error
    except DataError as error:
        raise FormatError(str(error), path) from error


def _embedding(node):
    count = node["ndensity"].whole(1, _MOST)
    form = node["npoti"].one_of(FORMS)
    numbers = [one.number() for one in node["FS_parameters"].items(2 * count, 2 * count)]
    if min(numbers[1::2]) <= 0.0:
        raise node["FS_parameters"].error("expected exponents above zero")
    core = node["rho_core_cutoff"].number(), node["drho_core_cutoff"].positive()
    return Embedding(form, tuple(numbers[0::2]), tuple(numbers[1::2]), core)


def _bond(node):
    radials, degree, functions = (
        node[name].whole(least, _MOST) for name, least in (("nradmax", 0), ("lmax", 0), ("nradbasemax", 1))
    )
    kind = node.get("inner_cutoff_type")
    kind_name = "density" if kind is None else kind.one_of(("distance", "density", "zbl"))
    if kind_name == "zbl":
        raise kind.error("cores by ZBL inside PACE are not read; expected distance or density")
    table = np.zeros((max(radials, 1), degree + 1, functions))
    for n, of_radial in enumerate(node["radcoefficients"].items(radials, radials)):
        for ell, row in enumerate(of_radial.items(degree + 1, degree + 1)):
            table[n, ell] = row.numbers(functions)
    inner, inner_width = (
        (node.get(name).number() if node.get(name) else 0.0) if kind_name == "distance" else 0.0
        for name in ("rcut_in", "dcut_in")
    )
    basis = RadialBasis(
        node["radbasename"].one_of(NAMES), node["radparameters"].items(1, _MOST)[0].number(),
        node["rcut"].positive(), node["dcut"].number(), inner, inner_width,
    )
    return Bond(basis, table, (node["prehc"].number(), node["lambdahc"].number()))


def _function(node, count, densities):
    rank = node["rank"].whole(1, HIGHEST_ORDER)
    products = node["num_ms_combs"].whole(0, 10**6)
    got = node["ndensity"].whole(1, _MOST)
    if got != densities:
        raise node["ndensity"].error(f"expected {densities}, as the embedding of the element has, got {got}")
    elements = tuple(one.whole(0, count - 1) for one in node["mus"].items(rank, rank))
    radials = tuple(one.whole(1, _MOST) for one in node["ns"].items(rank, rank))
    degrees = tuple(one.whole(0, _MOST) for one in node["ls"].items(rank, rank))
    orders = node["ms_combs"].numbers(products * rank).reshape(products, rank)
    limits = np.array(degrees)
    if (np.abs(orders) > limits).any() or (orders.sum(axis=1) != 0).any() or (orders % 1 != 0).any():
        raise node["ms_combs"].error("expected whole numbers from -l to l that add up to zero in each product")
    coefficients = node["ctildes"].numbers(products * densities).reshape(products, densities)
    return Function(elements, radials, degrees, orders.astype(int), coefficients, node.line)


class Node:
    """A part of a YAML file, with its line for what is wrong in it."""

    def __init__(self, path: FilePath, node: yaml.Node, name: str) -> None:
        self.path, self.node, self.name = path, node, name

    @classmethod
    def of_text(cls, path: FilePath) -> "Node":
        """The whole file.

        Raises:
            FormatError: not YAML, or with aliases.
        """
        text = "\n".join(Lines(path).all())
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            for event in yaml.parse(text, Loader=loader):
                if isinstance(event, yaml.AliasEvent):
                    raise FormatError("expected no aliases (*)", path, event.start_mark.line + 1)
            node = yaml.compose(text, Loader=loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = None if mark is None else mark.line + 1
            raise FormatError(f"expected YAML: {getattr(error, 'problem', error)}", path, line) from error
        except RecursionError as error:
            raise FormatError("expected YAML that is not nested so deeply", path) from error
        if not isinstance(node, yaml.MappingNode):
            raise FormatError("expected YAML with keys such as elements, bonds, functions", path)
        return cls(path, node, "file")

    @property
    def line(self) -> int:
        return self.node.start_mark.line + 1

    def error(self, message: str) -> FormatError:
        return FormatError(message, self.path, self.line, self.name)

    def get(self, key: str) -> "Node | None":
        """The value of a key, or None."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected keys with values")
        for name, value in self.node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return Node(self.path, value, key)
        return None

    def __getitem__(self, key: str) -> "Node":
        value = self.get(key)
        if value is None:
            raise self.error(f"expected the key {key}: it is missing")
        return value

    def pairs(self) -> list[tuple["Node", "Node"]]:
        """Keys and values."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected keys with values")
        return [(Node(self.path, a, self.name), Node(self.path, b, self.name)) for a, b in self.node.value]

    def items(self, least: int, most: int) -> list["Node"]:
        """Entries of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("expected a list")
        count = len(self.node.value)
        if not least <= count <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise self.error(f"expected a list of {wanted}, got {count}")
        return [Node(self.path, one, self.name) for one in self.node.value]

    def numbers(self, count: int) -> np.ndarray:
        """A list of finite numbers."""
        return np.array([one.number() for one in self.items(count, count)])

    def number(self) -> float:
        value: Any = self.node.value
        try:
            return float_of(str(value))
        except ValueError as error:
            raise self.error(f"expected {error}, got {shown(str(value))}") from None

    def positive(self) -> float:
        number = self.number()
        if number <= 0.0:
            raise self.error(f"expected a number above zero, got {number:g}")
        return number

    def whole(self, least: int, most: int) -> int:
        number = self.number()
        if number % 1 or not least <= number <= most:
            raise self.error(f"expected a whole number from {least} to {most}, got {number:g}")
        return int(number)

    def one_of(self, names: tuple[str, ...]) -> str:
        value = self.node.value
        if value not in names:
            raise self.error(f"expected one of {', '.join(names)}; got {shown(str(value))}")
        return value

    def element(self) -> int:
        try:
            return atomic_number(str(self.node.value))
        except DataError as error:
            raise self.error(str(error)) from error


FORMAT = Format(
    name="PACE atomic cluster expansion (.yace)",
    family=Family.MACHINE_LEARNED,
    endings=(".yace",),
    read=read_yace,
    write=write_yace,
    written_as=(".yace",),
)
