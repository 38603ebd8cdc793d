"""Molecular dynamics: ensembles as pairs of pure functions, a loop that takes care of lists, files and restarts.

Integrators are our own rather than those of jax-md: every one has a conserved quantity, works in any cell, keeps all of
its state in one tree that is saved to the last bit, and needs one evaluation of energy, forces and stress a step.
"""

from jaxpot.md.analysis import Analysis, analyse
from jaxpot.md.averages import Average, block_average, equilibrated_from, statistical_inefficiency
from jaxpot.md.barostats import CellRescaling
from jaxpot.md.curves import Diffusion, Displacement, PairDistribution, Spectrum
from jaxpot.md.dynamics import Ramp
from jaxpot.md.ensembles import NVE, Langevin, NoseHoover, VelocityRescaling
from jaxpot.md.frames import Frames, read_frames
from jaxpot.md.heat import Conductivity, HeatFlux
from jaxpot.md.many import ManyRun, run_many
from jaxpot.md.netcdf import NetCDFTrajectory
from jaxpot.md.observers import (
    MeanSquareDisplacement,
    Observer,
    RadialDistribution,
    Thermo,
    VelocityAutocorrelation,
)
from jaxpot.md.scan import steps
from jaxpot.md.simulation import Run, run
from jaxpot.md.state import State, maxwell
from jaxpot.md.tempering import Tempering, temper
from jaxpot.md.trajectory import Trajectory
from jaxpot.md.watch import ExtrapolationGrade, SiteDeviation

__all__ = [
    "NVE",
    "Analysis",
    "Average",
    "CellRescaling",
    "Conductivity",
    "Diffusion",
    "Displacement",
    "ExtrapolationGrade",
    "Frames",
    "HeatFlux",
    "Langevin",
    "ManyRun",
    "MeanSquareDisplacement",
    "NetCDFTrajectory",
    "NoseHoover",
    "Observer",
    "PairDistribution",
    "RadialDistribution",
    "Ramp",
    "Run",
    "SiteDeviation",
    "Spectrum",
    "State",
    "Tempering",
    "Thermo",
    "Trajectory",
    "VelocityAutocorrelation",
    "VelocityRescaling",
    "analyse",
    "block_average",
    "equilibrated_from",
    "maxwell",
    "read_frames",
    "run",
    "run_many",
    "statistical_inefficiency",
    "steps",
    "temper",
]
