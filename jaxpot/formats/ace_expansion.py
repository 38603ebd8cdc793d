"""From ACE potentials to what PACE's files say: `ace_parts` the other way round."""

from dataclasses import replace

import numpy as np

from jaxpot.basis.invariant_products import orders_and_couplings
from jaxpot.core.elements import symbol
from jaxpot.descriptors.cluster_expansion import ClusterExpansion
from jaxpot.errors import DataError
from jaxpot.formats.ace_parts import Bond, Embedding, Expansion, Function
from jaxpot.formats.terms_by_element import terms_by_element
from jaxpot.potentials.base import Potential, Sum, addends
from jaxpot.readouts.embedded_densities import FORMS, EmbeddedDensities
from jaxpot.readouts.linear import Linear


def expansion_of(potential: Potential) -> Expansion:
    """`Expansion` of which `ace_parts.potential_of` makes the same potential.

    Args:
        potential: a `Described` with a `ClusterExpansion` and a `Linear` or `EmbeddedDensities` for each element, and
            `Constants`, with factors.

    Raises:
        DataError: what files of PACE cannot express.
    """
    terms, energies = _parts(potential)
    first = next(iter(terms.values()))[0]
    if set(first.species) != set(terms) or any(d.species != first.species for d, _, _ in terms.values()):
        raise DataError(f"expected a term for each of the elements {', '.join(map(symbol, first.species))}")
    species = first.species
    bonds = {(e, k): _bond(terms[z][0], k) for e, z in enumerate(species) for k in range(len(species))}
    return Expansion(
        species, tuple(float(energies.get(z, 0.0)) for z in species),
        {e: terms[z][1] for e, z in enumerate(species)}, bonds,
        {e: list(_functions(terms[z][0], terms[z][2])) for e, z in enumerate(species)},
    )


def _parts(potential):
    """Element -> (descriptor, `Embedding`, weights (P, d)), and the constants by element."""
    cores, others = _cores(potential)
    terms, energies = terms_by_element(others, ClusterExpansion, (Linear, EmbeddedDensities), "ACE")
    parts = {}
    for z, (factor, term) in terms.items():
        descriptor, (embedding, weights) = term.descriptor, _embedding(term.descriptor, term.readout, factor)
        if z in cores:
            descriptor, embedding = _with_core(descriptor, embedding, *cores.pop(z))
        parts[z] = descriptor, embedding, weights
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
    return descriptor.replace(core=cores.core), replace(embedding, core=readout.core)


def _embedding(descriptor, readout, factor):
    """`Embedding` and weights (P, d) of a term."""
    if isinstance(readout, Linear):
        if descriptor.core is not None:
            raise DataError("files of PACE embed a core with its densities: expected EmbeddedDensities, got Linear")
        weights = factor * np.asarray(readout.delta, float) * np.asarray(readout.weights, float)[None]
        embedding = Embedding(FORMS[0], (1.0,), (1.0,))
    else:
        if factor != 1.0 and descriptor.core is not None:
            raise DataError(f"files of PACE have no factor for a core, got {factor:g}")
        weights, factors = np.asarray(readout.weights, float), tuple(factor * a for a in readout.factors)
        embedding = Embedding(readout.form, factors, readout.exponents)
        embedding = embedding if readout.core is None else replace(embedding, core=readout.core)
    if descriptor.scales is not None:
        weights = weights * np.asarray(descriptor.scales, float)
    return embedding, weights


def _bond(descriptor, k):
    coefficients = np.asarray(descriptor.coefficients[k], float)
    return Bond(descriptor.bases[k], coefficients, (0.0, 1.0) if descriptor.core is None else descriptor.core[k])


def _functions(descriptor, weights):
    """All `Function`s: those of the same factors are one."""
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
        yield Function(*(tuple(one[k] for one in factors) for k in range(3)), np.array(orders), sums)
