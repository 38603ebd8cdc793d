"""Descriptors: what a model sees of one environment. One file each."""

from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.bispectrum import Bispectrum
from jaxpot.descriptors.bond import Bond
from jaxpot.descriptors.cluster_expansion import ClusterExpansion
from jaxpot.descriptors.constant import Constant
from jaxpot.descriptors.environment_vectors import AtomicEnvironmentVectors
from jaxpot.descriptors.moment_tensors import MomentTensors
from jaxpot.descriptors.neuroevolution import NeuroevolutionDescriptor
from jaxpot.descriptors.pair import Pair
from jaxpot.descriptors.soap import SOAP
from jaxpot.descriptors.symmetry_functions import Angular, Radial, SymmetryFunctions
from jaxpot.descriptors.triangle import Triangle
from jaxpot.descriptors.triplet import Triplet

__all__ = [
    "SOAP", "Angular", "AtomicEnvironmentVectors", "Bispectrum", "Bond", "ClusterExpansion", "Constant", "Descriptor",
    "MomentTensors", "NeuroevolutionDescriptor", "Pair", "Radial", "SymmetryFunctions", "Triangle", "Triplet",
]
