"""Properties of crystals and molecules: derivatives of the energy, and what thermodynamics makes of them.

Functions take (potential, structure, options by keyword) and return small pytrees that are differentiable
with respect to the potential. Iterations (relaxation, thermal expansion) run on the host and carry
derivatives by the implicit function theorem.
"""

from jaxpot.properties.elastic import ElasticConstants, elastic_constants
from jaxpot.properties.eos import EquationOfState, equation_of_state
from jaxpot.properties.excess import Arrangement, ExcessEnergy
from jaxpot.properties.force_constants import ForceConstants
from jaxpot.properties.gruneisen import Gruneisen, GruneisenBands, gruneisen, gruneisen_bands
from jaxpot.properties.harmonic import Harmonic, harmonic
from jaxpot.properties.instabilities import SoftMode, SoftModePath, follow_soft_modes, soft_modes
from jaxpot.properties.phonons import (
    PhononBands,
    PhononDos,
    Phonons,
    dynamical_matrix,
    force_constants,
    phonon_bands,
    phonon_dos,
    phonons,
)
from jaxpot.properties.relax import Relaxation, relax, relax_many
from jaxpot.properties.second_order import SecondOrder, second_order
from jaxpot.properties.surfaces import surface_energy
from jaxpot.properties.thermal import ThermalExpansion, thermal_expansion
from jaxpot.properties.vacancies import vacancy_energy
from jaxpot.properties.vibration_sums import IdealGas
from jaxpot.properties.vibrations import Vibrations, vibrations

__all__ = [
    "Arrangement", "ElasticConstants", "EquationOfState", "ExcessEnergy", "ForceConstants", "Gruneisen",
    "GruneisenBands", "Harmonic", "IdealGas", "PhononBands", "PhononDos", "Phonons", "Relaxation", "SecondOrder",
    "SoftMode", "SoftModePath", "ThermalExpansion", "Vibrations",
    "dynamical_matrix", "elastic_constants", "equation_of_state", "follow_soft_modes", "force_constants", "gruneisen",
    "gruneisen_bands", "harmonic", "phonon_bands", "phonon_dos", "phonons", "relax", "relax_many",
    "second_order", "soft_modes",
    "surface_energy",
    "thermal_expansion", "vacancy_energy", "vibrations",
]
