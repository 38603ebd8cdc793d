"""Potentials: values whose energy is one pure function. One file each."""

from jaxpot.potentials.base import Potential, Scaled, Sum
from jaxpot.potentials.buckingham import Buckingham
from jaxpot.potentials.chgnet import CHGNet
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.potentials.dtnn import DTNN
from jaxpot.potentials.eam import EAM
from jaxpot.potentials.faded_zbl import FadedZBL
from jaxpot.potentials.finnis_sinclair import FinnisSinclair
from jaxpot.potentials.glue import Glue
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.mace import MACE
from jaxpot.potentials.meam import MEAM
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.potentials.morse import Morse
from jaxpot.potentials.nequip import NequIP
from jaxpot.potentials.schnet import SchNet
from jaxpot.potentials.second_moment import SecondMoment
from jaxpot.potentials.shared_sums import SharedSums
from jaxpot.potentials.soft_sphere import SoftSphere
from jaxpot.potentials.spline_eam import SplineEAM
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.potentials.tersoff import Tersoff
from jaxpot.potentials.tersoff_triplets import TersoffTriplets
from jaxpot.potentials.wang_frenkel import WangFrenkel
from jaxpot.potentials.zbl import ZBL

__all__ = [
    "DTNN", "EAM", "MACE", "MEAM", "ZBL", "Buckingham", "CHGNet", "Constants", "Described", "FadedZBL",
    "FinnisSinclair", "Glue", "LennardJones", "SharedSums", "MessagePassing", "Morse", "NequIP", "Potential", "Scaled",
    "SchNet", "SecondMoment", "SoftSphere", "SplineEAM", "StillingerWeber", "Sum", "Tersoff", "TersoffTriplets",
    "WangFrenkel",
]
