"""Potentials: values whose energy is one pure function. One file each."""

from jaxpot.potentials.base import Potential, Scaled, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.potentials.eam import EAM
from jaxpot.potentials.glue import Glue
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.morse import Morse
from jaxpot.potentials.second_moment import SecondMoment
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.potentials.tersoff import Tersoff
from jaxpot.potentials.tersoff_triplets import TersoffTriplets
from jaxpot.potentials.zbl import ZBL

__all__ = [
    "EAM", "ZBL", "Constants", "Described", "Glue", "LennardJones", "Morse", "Potential", "Scaled", "SecondMoment",
    "StillingerWeber", "Sum", "Tersoff", "TersoffTriplets",
]
