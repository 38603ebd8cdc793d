"""jaxpot: one energy function, and everything that falls out of it.

    import jaxpot as jp

    potential = jp.potentials.StillingerWeber.silicon()
    result = jp.evaluate(potential, atoms)          # a jaxpot.Structure or an ase.Atoms

Nothing happens at import, and nobody's JAX configuration is touched.
"""

from jaxpot import errors, potentials, units
from jaxpot.catalog import load, models
from jaxpot.core.graph import Environment
from jaxpot.core.neighbors import Neighbors, neighbors
from jaxpot.core.pytree import pytree, static
from jaxpot.core.save import save
from jaxpot.core.structure import Structure
from jaxpot.errors import JaxpotError
from jaxpot.observables import (
    energy,
    evaluate,
    evaluate_many,
    forces,
    hessian,
    hessian_vector_product,
    site_energies,
    stress,
    virials,
)
from jaxpot.potentials.base import Potential

__version__ = "0.1.0"

__all__ = [
    "Environment", "JaxpotError", "Neighbors", "Potential", "Structure",
    "energy", "errors", "evaluate", "evaluate_many", "forces", "hessian", "hessian_vector_product",
    "load", "models", "neighbors", "potentials", "pytree", "save", "site_energies", "static", "stress",
    "units", "virials",
]
