"""ACE potentials in PACE's files `.yace`, as pacemaker and FitSNAP write them and LAMMPS reads them."""

import numpy as np

from jaxpot.basis.invariant_products import HIGHEST_ORDER
from jaxpot.basis.radial_bases import NAMES, RadialBasis
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.ace_parts import Bond, Embedding, Expansion, Function, NotInvariant, potential_of
from jaxpot.formats.ace_write import write_yace
from jaxpot.formats.record import Family, Format
from jaxpot.formats.yaml_nodes import Node
from jaxpot.potentials.base import Potential
from jaxpot.readouts.embedded_densities import FORMS
from jaxpot.typing import FilePath

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
    if len({kind for _, kind in bonds.values()}) > 1:
        raise root["bonds"].error("expected one inner_cutoff_type for all pairs")
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
    pairs = {pair: bond for pair, (bond, _) in bonds.items()}
    expansion = Expansion(tuple(elements), tuple(energies), embeddings, pairs, functions)
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
    if core[0] < core[1]:
        raise node["rho_core_cutoff"].error(
            f"expected drho_core_cutoff or more, {core[1]:g}: below, atoms without a core would be switched off"
        )
    return Embedding(form, tuple(numbers[0::2]), tuple(numbers[1::2]), core)


def _bond(node):
    """The pair, and its inner_cutoff_type."""
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
    strength = node["prehc"].number()
    if kind_name == "distance" and inner <= 0.0:  # a core that fades out before r = 0
        strength = 0.0
    return Bond(basis, table, (strength, node["lambdahc"].number())), kind_name


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


FORMAT = Format(
    name="PACE atomic cluster expansion (.yace)",
    family=Family.MACHINE_LEARNED,
    endings=(".yace",),
    read=read_yace,
    write=write_yace,
    written_as=(".yace",),
)
