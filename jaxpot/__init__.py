"""jaxpot: one energy function, and everything that falls out of it.

    import jaxpot as jp

    potential = jp.potentials.StillingerWeber.silicon()
    result = jp.evaluate(potential, atoms)          # a jaxpot.Structure, ase.Atoms or pymatgen structure

Nothing happens at import, and nobody's JAX configuration is touched.
"""

from jaxpot import datasets, descriptors, errors, kernels, md, potentials, readouts, units
from jaxpot.active import Learned, label, learn_from_pool, learn_on_the_fly, random_structures, select_batch
from jaxpot.catalog import load, models, save
from jaxpot.core.graph import Environment
from jaxpot.core.neighbors import Neighbors, neighbors
from jaxpot.core.pytree import pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import JaxpotError
from jaxpot.fitting import (
    Dataset,
    Frame,
    HessianProduct,
    NetworkRecipe,
    StrainCurvature,
    Target,
    draw_dataset,
    fit,
    fit_form,
    predict,
    read_dataset,
    read_recipe,
    recipes,
    smoothed,
    train,
)
from jaxpot.interop import lammps
from jaxpot.interop.ase import ase_calculator, to_ase
from jaxpot.interop.ipi import serve
from jaxpot.interop.phonopy import to_phonopy
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
from jaxpot.observables.heat_flux import heat_flux
from jaxpot.potentials.base import Potential
from jaxpot.potentials.mixed_precision import mixed_precision
from jaxpot.potentials.posterior import Posterior
from jaxpot.properties import (
    dynamical_matrix,
    elastic_constants,
    equation_of_state,
    follow_soft_modes,
    force_constants,
    gruneisen,
    gruneisen_bands,
    harmonic,
    phonon_bands,
    phonon_dos,
    phonons,
    relax,
    relax_many,
    second_order,
    soft_modes,
    surface_energy,
    thermal_expansion,
    vacancy_energy,
    vibrations,
)
from jaxpot.uncertainty import (
    ActiveSet,
    VariancePotential,
    calibrate,
    condition,
    condition_linear,
    extrapolations,
    propagate,
    select_frames,
    std,
    std_many,
    unfamiliar_atoms,
    variance,
    widened,
    widened_near,
)

__version__ = "0.1.0"

__all__ = [
    "ActiveSet", "Dataset", "Environment", "Frame", "HessianProduct", "JaxpotError", "Learned", "Neighbors",
    "NetworkRecipe", "Posterior", "Potential", "StrainCurvature", "Structure", "Target", "VariancePotential",
    "ase_calculator", "calibrate", "condition", "condition_linear", "datasets", "descriptors", "draw_dataset",
    "dynamical_matrix", "elastic_constants",
    "energy", "equation_of_state", "errors", "evaluate", "evaluate_many", "extrapolations", "fit", "fit_form",
    "follow_soft_modes", "force_constants", "forces", "gruneisen",
    "gruneisen_bands", "harmonic", "heat_flux", "hessian",
    "hessian_vector_product", "kernels", "label", "lammps", "learn_from_pool", "learn_on_the_fly", "load", "md",
    "mixed_precision", "models", "neighbors", "phonon_bands", "phonon_dos", "phonons", "potentials",
    "predict", "propagate", "pytree", "random_structures", "read_dataset", "read_recipe", "readouts", "recipes",
    "relax", "relax_many", "save", "second_order", "select_batch", "select_frames", "serve",
    "site_energies", "smoothed", "soft_modes", "static", "std",
    "std_many", "stress", "surface_energy", "thermal_expansion", "to_ase", "to_phonopy", "train",
    "unfamiliar_atoms", "units", "vacancy_energy", "variance", "vibrations", "virials", "widened", "widened_near",
]

_FORMER = {"learn": "condition", "observe": "condition_linear"}  # for one version


def __getattr__(name: str) -> object:
    if name not in _FORMER:
        raise AttributeError(f"module 'jaxpot' has no attribute {name!r}")
    import warnings

    warnings.warn(f"jp.{name} is deprecated: it is jp.{_FORMER[name]} now", DeprecationWarning, stacklevel=2)
    return globals()[_FORMER[name]]
