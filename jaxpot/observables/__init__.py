"""The energy of a structure, and its derivatives.

`energy` is the root: forces are -dE/dr, the stress is (1/V) dE/dstrain, and so on. Every function takes
`(potential, structure, neighbors=None)`. With `neighbors` given they are pure functions of three
pytrees: `jax.jit`, `jax.vmap` and `jax.grad` apply to all three. Without, the list is built on the host,
and the arrays are padded to a ladder of sizes so that similar structures share one compiled program.

Concrete values are checked (species, NaN, atoms on top of one another, an outgrown list) and refused with
a typed error. Under jit nothing can be raised: there the same violations turn every result into NaN.
"""

from jaxpot.observables.energies import energy, energy_many, site_energies
from jaxpot.observables.evaluation import (
    Evaluation,
    evaluate,
    evaluate_by_strain,
    evaluate_many,
    evaluate_many_by_strain,
    forces,
    stress,
)
from jaxpot.observables.heat_flux import heat_flux
from jaxpot.observables.hessians import gradient_and_hessian, hessian, hessian_vector_product
from jaxpot.observables.rows import nan_if_any, poison
from jaxpot.observables.virials import virials

__all__ = [
    "Evaluation", "energy", "energy_many", "evaluate", "evaluate_by_strain", "evaluate_many",
    "evaluate_many_by_strain", "forces", "gradient_and_hessian", "heat_flux", "hessian", "hessian_vector_product",
    "nan_if_any", "poison", "site_energies", "stress", "virials",
]
