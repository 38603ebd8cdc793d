"""Do heat fluxes and Green-Kubo conductivities agree with LAMMPS's? Lennard-Jones argon, liquid or solid.

The potential is one of pairs: only there is LAMMPS's `compute heat/flux` with `stress/atom` the flux of the energy.
First the flux of one state, both parts, in both codes. Then a run at constant energy from that state in each, of the
same length: after some picoseconds the two paths have nothing in common, and the conductivities agree within their
standard errors. Those of LAMMPS come out of its series of fluxes by `md.HeatFlux.conductivity`, and once more out of
its own `fix ave/correlate` up to the same time.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/conductivity.py [solid] [--ps 1000] [--longest 2]

Six minutes on a core of its own.
"""

import argparse
import time
from dataclasses import dataclass

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.units import W_per_m_K, fs, ps

EPSILON, SIGMA, CUTOFF = 0.0103, 3.405, 8.5
POTENTIAL = jp.potentials.LennardJones(EPSILON, SIGMA, CUTOFF, shift="energy")
STEP, EVERY = 4.0, 5  # fs, steps


@dataclass
class Phase:
    """a: length of the cube of four atoms, A; hot, temperature: K, before and during equilibration; longest: ps."""

    a: float
    hot: float
    temperature: float
    longest: float


PHASES = {"liquid": Phase(5.72, 250.0, 86.0, 2.0), "solid": Phase(5.315, 50.0, 50.0, 20.0)}


def equilibrated(phase):
    """A state of 256 atoms: melted where it has to be, then brought to the temperature."""
    found = bulk("Ar", a=phase.a, cubic=True) * 4
    for temperature in (phase.hot, phase.temperature):
        warm = jp.md.VelocityRescaling(POTENTIAL, STEP * fs, temperature, 200 * fs)
        found = jp.md.run(warm, found, round(20_000 / STEP), temperature=temperature, key=1).state
    dynamics = jp.md.NVE(POTENTIAL, STEP * fs)
    return dynamics, dynamics.init(found.structure, velocities=found.velocities)


class Lammps:
    """LAMMPS with the atoms of a state; fluxes in our units."""

    def __init__(self, state):
        atoms = jp.to_ase(state.structure)
        self.engine, rotation = lammps_peer._start(
            atoms, f"lj/cut {CUTOFF}", f"* * {EPSILON} {SIGMA}", ["Ar"], skin=2.0
        )
        if not np.allclose(rotation, np.eye(3)):
            raise ValueError("expected a cube")
        # Its constants have eight digits: a mass that makes its kinetic energies ours.
        mass = float(state.structure.masses[0]) / (ps**2 * self.engine.extract_global("mvv2e"))
        velocities = np.ascontiguousarray(np.asarray(state.velocities) * ps).ravel()
        self.engine.scatter_atoms("v", 1, 3, np.ctypeslib.as_ctypes(velocities))
        for command in (
            f"mass 1 {mass:.17g}", "pair_modify shift yes", f"timestep {STEP / 1000.0}",
            "compute kinetic all ke/atom", "compute potential all pe/atom",
            "compute virial all stress/atom NULL virial", "compute flux all heat/flux kinetic potential virial",
            "thermo_style custom step temp pe c_flux[1]", "thermo 1000000",
        ):
            self.engine.command(command)

    def flux(self):
        """Convective (3,) and potential (3,) flux of the state."""
        self.engine.command("run 0")
        found = np.array(self.engine.extract_compute("flux", 0, 1)[:6]) / ps
        return found[3:], found[:3] - found[3:]

    def run(self, looks, lags):
        """Fluxes (looks, 3), temperatures (looks,), seconds, and <J(0) . J(t)> (lags,) of its own."""
        whole = looks * EVERY
        components = " ".join(f"c_flux[{k}]" for k in (1, 2, 3))
        for command in (
            "fix move all nve", f"fix seen all vector {EVERY} {components}",
            f"fix warmth all vector {EVERY} c_thermo_temp",
            f"fix own all ave/correlate {EVERY} {lags} {whole} {components} type auto ave running",
        ):
            self.engine.command(command)
        begin = time.perf_counter()
        self.engine.command(f"run {whole}")
        seconds = time.perf_counter() - begin
        get = self.engine.extract_fix
        series = np.array([[get("seen", 0, 2, i, j) for j in range(3)] for i in range(looks)])
        own = np.array([[get("own", 0, 2, i, j) for j in (2, 3, 4)] for i in range(lags)])
        return series / ps, np.array([get("warmth", 0, 1, i) for i in range(looks)]), seconds, own.sum(1) / ps**2

    def close(self):
        self.engine.close()


def as_observer(fluxes, temperatures, volume):
    """What `HeatFlux` would have kept."""
    found = jp.md.HeatFlux(EVERY)
    found.interval = EVERY * STEP * fs
    rest = np.stack([temperatures, np.full(len(fluxes), volume)], axis=1)
    found.rows = list(np.hstack([np.zeros_like(fluxes), fluxes, rest]))
    return found


def compare_states(state, engine):
    ours, theirs = jp.heat_flux(POTENTIAL, state.structure, state.velocities), engine.flux()
    for name, a, b in zip(("convective", "potential"), ours, theirs, strict=True):
        print(f"one state, {name} flux: {np.array2string(b * ps, precision=9)} eV A/ps, largest difference "
              f"{np.abs(np.asarray(a) - b).max() / np.abs(b).max():.1e} of the largest component", flush=True)


def show(name, found, seconds):
    print(f"{name}: {found.kappa / W_per_m_K:.4f} +- {found.error / W_per_m_K:.4f} W/(m K), integral up to "
          f"{found.longest / ps:.2f} ps, {found.temperature:.2f} K; run {seconds:.0f} s", flush=True)


def compare_conductivities(ours, theirs, blocks, longest):
    """Of two pairs (observer, seconds), with one upper limit and with those that they find; LAMMPS's with the first."""
    found = [ours[0].conductivity(blocks, longest), theirs[0].conductivity(blocks, longest)]
    for name, one, (_, seconds) in zip(("ours", "LAMMPS"), found, (ours, theirs), strict=True):
        show(name, one, seconds)
    errors = np.hypot(found[0].error, found[1].error)
    print(f"difference: {(found[0].kappa - found[1].kappa) / errors:+.2f} standard errors")
    for name, (observer, seconds) in (("ours", ours), ("LAMMPS", theirs)):
        show(f"{name}, up to where noise begins", observer.conductivity(blocks), seconds)
    return found[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", nargs="?", choices=PHASES, default="liquid")
    parser.add_argument("--ps", type=float, default=1000.0, help="length of each run")
    parser.add_argument("--longest", type=float, help="upper limit of the integral in ps: 2, of the solid 20")
    parser.add_argument("--blocks", type=int, default=10)
    options = parser.parse_args()
    phase = PHASES[options.phase]
    longest = (options.longest or phase.longest) * ps
    looks = round(options.ps * 1000.0 / (STEP * EVERY))
    lags = round(longest / (EVERY * STEP * fs)) + 1

    dynamics, state = equilibrated(phase)
    volume = float(state.structure.volume)
    engine = Lammps(state)
    compare_states(state, engine)
    fluxes, temperatures, seconds, own = engine.run(looks, lags)
    engine.close()
    flux = jp.md.HeatFlux(EVERY)
    run = jp.md.run(dynamics, state, looks * EVERY, [flux])
    theirs = as_observer(fluxes, temperatures, volume)
    found = compare_conductivities((flux, run.seconds), (theirs, seconds), options.blocks, longest)
    integral = EVERY * STEP * fs * (own.sum() - 0.5 * (own[0] + own[-1]))
    kappa = integral / (3.0 * volume * jp.units.kB * found.temperature**2)
    print(f"LAMMPS's own correlations, mean not subtracted: {kappa / W_per_m_K:.4f} W/(m K)")


if __name__ == "__main__":
    main()
