"""Writing ACE potentials as PACE's `.yace`."""

import os

import numpy as np

from jaxpot.basis.invariant_products import orders_and_couplings
from jaxpot.core.elements import symbol
from jaxpot.core.save import write_atomically
from jaxpot.descriptors.cluster_expansion import ClusterExpansion
from jaxpot.errors import DataError
from jaxpot.formats.terms_by_element import terms_by_element
from jaxpot.potentials.base import Potential, Sum, addends
from jaxpot.readouts.embedded_densities import FORMS, EmbeddedDensities
from jaxpot.readouts.linear import Linear
from jaxpot.typing import FilePath

_BINS = 0.001  # A, of the tables that PACE makes of radial functions


def write_yace(potential: Potential, path: FilePath) -> None:
    """Write the file.

    Args:
        potential: a `Described` with a `ClusterExpansion` and a `Linear` or `EmbeddedDensities` for each element, and
            `Constants`, with factors.
        path: of the file.

    Raises:
        DataError: what the format cannot express, or a file that cannot be written.
    """
    terms, energies = _parts(potential)
    species = tuple(terms)
    first = terms[species[0]][0]
    if set(first.species) != set(species) or any(d.species != first.species for d, _ in terms.values()):
        raise DataError(f"expected a term for each of the elements {', '.join(map(symbol, first.species))}")
    species = first.species
    lines = [
        f"elements: [{', '.join(map(symbol, species))}]",
        f"E0: {_list(float(energies.get(z, 0.0)) for z in species)}",
        f"deltaSplineBins: {_BINS}",
        "embeddings:",
    ]
    for e, z in enumerate(species):
        form, factors, exponents, (cut, width), _ = terms[z][1]
        numbers = [x for pair in zip(factors, exponents, strict=True) for x in pair]
        lines.append(
            f"  {e}: {{ndensity: {len(factors)}, FS_parameters: {_list(numbers)}, npoti: {form}, rho_core_cutoff: "
            f"{cut!r}, drho_core_cutoff: {width!r}}}"
        )
    lines.append("bonds:")
    kind = "distance" if any(basis.inner > 0.0 for d, _ in terms.values() for basis in d.bases) else "density"
    for e, z in enumerate(species):
        lines += [f"  [{e}, {k}]: {_bond(terms[z][0], k, kind)}" for k in range(len(species))]
    lines.append("functions:")
    for e, z in enumerate(species):
        lines.append(f"  {e}:")
        lines += [f"    - {text}" for text in _functions(e, terms[z][0], terms[z][1][-1])]
    write_atomically(os.fspath(path), ("\n".join(lines) + "\n").encode())


def _parts(potential):
    """Element -> (descriptor, (form, factors, exponents, core, weights (P, d))), and the constants by element."""
    cores, others = _cores(potential)
    terms, energies = terms_by_element(others, ClusterExpansion, (Linear, EmbeddedDensities), "ACE")
    parts = {}
    for z, (factor, term) in terms.items():
        descriptor, embedding = term.descriptor, _embedding(term.descriptor, term.readout, factor)
        if z in cores:
            descriptor, embedding = _with_core(descriptor, embedding, *cores.pop(z))
        parts[z] = descriptor, embedding
    if cores:
        raise DataError(f"there is a core, but no expansion, of {', '.join(map(symbol, cores))}")
    return parts, energies


def _cores(potential):
    """Element -> (descriptor, readout) of terms that are nothing but a core; and the sum of all other terms."""
    cores, others = {}, []
    for factor, term in addends(potential):
        descriptor = getattr(term, "descriptor", None)
        if isinstance(descriptor, ClusterExpansion) and not descriptor.components and float(factor) == 1.0:
            cores.update({z: (descriptor, term.readout) for z in descriptor.centers or ()})
        else:
            others.append(factor * term)
    return cores, Sum.or_one(others)


def _with_core(descriptor, embedding, cores, readout):
    """Descriptor and embedding with a core that was a term of its own."""
    if descriptor.core is not None or (cores.species, cores.bases) != (descriptor.species, descriptor.bases):
        raise DataError(f"the core of {descriptor!r} does not fit it: expected the same species and radial bases")
    form, factors, exponents, _, weights = embedding
    return descriptor.replace(core=cores.core), (form, factors, exponents, readout.core, weights)


def _embedding(descriptor, readout, factor):
    if isinstance(readout, Linear):
        if descriptor.core is not None:
            raise DataError("a .yace file embeds a core with its densities: expected EmbeddedDensities, got Linear")
        weights = factor * np.asarray(readout.delta, float) * np.asarray(readout.weights, float)[None]
        form, factors, exponents, core = FORMS[0], (1.0,), (1.0,), None
    else:
        if factor != 1.0 and descriptor.core is not None:
            raise DataError(f"a .yace file has no factor for a core, got {factor:g}")
        weights, form = np.asarray(readout.weights, float), readout.form
        exponents, core = readout.exponents, readout.core
        factors = tuple(factor * a for a in readout.factors)
    if descriptor.scales is not None:
        weights = weights * np.asarray(descriptor.scales, float)
    return form, factors, exponents, core or (100000.0, 250.0), weights


def _bond(descriptor, k, kind):
    basis, table = descriptor.bases[k], np.asarray(descriptor.coefficients[k], float)
    radials, degrees, functions = table.shape
    rows = ", ".join("[" + ", ".join(map(_list, of_radial)) + "]" for of_radial in table)
    strength, decay = (0.0, 1.0) if descriptor.core is None else descriptor.core[k]
    return (
        f"{{nradmax: {radials}, lmax: {degrees - 1}, nradbasemax: {functions}, radbasename: {basis.name}, "
        f"radparameters: [{basis.parameter!r}], radcoefficients: [{rows}], prehc: {strength!r}, lambdahc: {decay!r}, "
        f"rcut: {basis.cutoff!r}, dcut: {basis.width!r}, rcut_in: {basis.inner!r}, dcut_in: {basis.inner_width!r}, "
        f"inner_cutoff_type: {kind}}}"
    )


def _functions(element, descriptor, weights):
    """Lines of all functions: those of the same factors are one."""
    together: dict = {}
    for (factors, number), column in zip(descriptor.components, weights.T, strict=True):
        together.setdefault(factors, []).append((number, column))
    for factors, members in together.items():
        if len(factors) == 1:
            orders, sums = ((0,),), members[0][1][None]
        else:
            factors = tuple(sorted(factors, key=lambda one: (one[2], *one[:2])))
            orders, u = orders_and_couplings(tuple((ell, e, n) for e, n, ell in factors))
            sums = sum(np.outer(u[number], column) for number, column in members)
        listed = [[one[k] for one in factors] for k in range(3)]
        yield (
            f"{{mu0: {element}, rank: {len(factors)}, ndensity: {len(weights)}, num_ms_combs: {len(orders)}, mus: "
            f"{listed[0]}, ns: {listed[1]}, ls: {listed[2]}, ms_combs: {[m for ms in orders for m in ms]}, ctildes: "
            f"{_list(np.ravel(sums))}}}"
        )


def _list(numbers):
    """Numbers that are read back to the last bit."""
    return "[" + ", ".join(repr(float(x)) for x in numbers) + "]"
