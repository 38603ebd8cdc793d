"""Descriptors that a recipe may name, one row each."""

from jaxpot.fitting.linear.kinds import ace, bispectrum, constant, distances, mtp, soap
from jaxpot.fitting.linear.kinds.base import Kind, Measures

__all__ = ["CONSTANT", "KINDS", "Kind", "Measures"]

CONSTANT = "constant"  # a linear readout of the number one, which has no cutoff and no other readout
KINDS = {
    "soap": soap.KIND, "bispectrum": bispectrum.KIND, "ace": ace.KIND, "mtp": mtp.KIND, CONSTANT: constant.KIND,
    "distance_2b": distances.PAIRS, "angle_3b": distances.TRIPLETS,
}
