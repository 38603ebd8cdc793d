"""How long, and in how much memory, does a fit take beside QUIP's gap_fit, and is it the same fit?

One SOAP for one element (n = l = 8, 1000 sparse points), energies and forces. gap_fit chooses the sparse points and
e0; ours takes both from its file, with the same sigmas and jitter. Each runs in a process of its own on one core;
time and peak memory are those of the processes, compilation included. Then: the three terms of the objective that
both minimise, at both solutions; predictions of both for the test set; and what quippy makes of the file that
`jp.save` writes.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/gap_fit.py train.xyz test.xyz [--sparse 1000] [--frames 214]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from ase.io import read, write

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.targets import Sigmas, fit_targets
from jaxpot.fitting.linear.accumulate import accumulate
from jaxpot.fitting.linear.moments import posterior, unwhiten
from jaxpot.fitting.linear.terms import prior_factors
from jaxpot.fitting.linear.weights import with_weights

SIGMA_ENERGY, SIGMA_FORCES, JITTER, CUTOFF = 0.01, 0.05, 1e-8, 5.4


def relabelled(source, target, count):
    """The frames with labels under names that neither program takes for results of its own."""
    frames = read(source, index=":")
    frames = frames[:: max(1, len(frames) // count)][:count]
    for atoms in frames:
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.info, atoms.arrays["dft_forces"] = {"dft_energy": energy}, forces
    write(target, frames, format="extxyz")


def run_gap_fit(folder, sparse):
    """Seconds and bytes of gap_fit, whose result is `theirs.xml`."""
    soap = (
        f"soap l_max=8 n_max=8 atom_sigma=0.5 zeta=4 cutoff={CUTOFF} cutoff_transition_width=0.5 central_weight=1.0 "
        f"n_sparse={sparse} delta=1.0 covariance_type=dot_product sparse_method=cur_points f0=0.0 add_species=T"
    )
    command = [
        str(Path(sys.executable).parent / "gap_fit"), "at_file=train.xyz", f"gap={{{soap}}}",
        f"default_sigma={{{SIGMA_ENERGY} {SIGMA_FORCES} 0.0 0.0}}", "energy_parameter_name=dft_energy",
        "force_parameter_name=dft_forces", "e0_method=average", f"sparse_jitter={JITTER}", "do_copy_at_file=F",
        "rnd_seed=1", "gp_file=theirs.xml",
    ]
    return measured(command, folder)


def measured(command, folder):
    """(wall seconds, CPU seconds, peak MB) of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit((folder / "log.txt").read_text()[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu, peak


def peak_memory(pid):
    """Peak resident memory of a process and of those it has started, MB (Linux)."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                total += int(line.split()[1]) / 1e3
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += peak_memory(child)
    except OSError:
        pass
    return total


def given_fit(folder):
    """In a process of its own: the fit with gap_fit's sparse points, saved and told."""
    compile_sooner()
    constants, term = jp.load(folder / "theirs.xml").terms
    alone = jp.Structure(np.zeros((1, 3)), np.eye(3), term.species, pbc=False)
    e0 = {z: float(jp.energy(constants, alone)) for z in term.species}
    data = jp.read_dataset(folder / "train.xyz", energy="dft_energy", forces="dft_forces", stress=None, e0=e0)
    prepared = prepare_frames([f.structure for f in data], term.cutoff)
    start = term.replace(readout=term.readout.replace(weights=jnp.zeros(term.n_features)))
    factors, jitters = prior_factors(start, JITTER)
    sigmas = Sigmas(SIGMA_ENERGY, SIGMA_FORCES)
    moments = accumulate(start, data, prepared, fit_targets(data), sigmas, factors)
    moments = {kind: part for (kind, _), part in moments.items()}
    found = posterior(moments, dict.fromkeys(moments, 1.0))
    (weights,) = unwhiten(found.mean, factors)
    jp.save(constants + with_weights(start, [weights]), folder / "ours.xml")
    factor = np.asarray(factors[0])
    told = {}
    for name, alpha in (("ours", np.asarray(weights)), ("gap_fit's", np.asarray(term.readout.weights))):
        white = factor.T @ alpha
        told[name] = {kind: float(part.residual(white) * part.count) for kind, part in moments.items()}
        told[name]["prior"] = float(white @ white)
    (folder / "objective.json").write_text(json.dumps({"jitter": jitters, "objective": told}))


def compare(folder, test):
    """The objective of both, their test errors, and the written file in quippy."""
    from quippy.potential import Potential as Quippy

    told = json.loads((folder / "objective.json").read_text())
    print(f"jitter {told['jitter'][0]:.0e} of the variance")
    for name, parts in told["objective"].items():
        parts["sum"] = sum(parts.values())
        print(f"{name:>10s}: " + ", ".join(f"{k} {v:.3f}" for k, v in parts.items()))
    potentials = {name: jp.load(folder / f"{name}.xml") for name in ("ours", "theirs")}
    data = jp.read_dataset(test, stress=None)
    predicted = {name: jp.predict(potential, data) for name, potential in potentials.items()}
    for name, found in predicted.items():
        errors = found.errors()["all"]
        print(f"{name:>10s}: test {errors['energy']['mae'] * 1e3:.3f} meV/atom, {errors['forces']['mae']:.5f} eV/A")
    apart = {
        kind: max(np.abs(a - b).max() for a, b in zip(*(p.predicted[kind] for p in predicted.values()), strict=True))
        for kind in ("energy", "forces")
    }
    print(f"largest differences: {apart['energy']:.1e} eV/atom, {apart['forces']:.1e} eV/A")
    quippy, ours = Quippy(param_filename=str(folder / "ours.xml")), jp.load(folder / "ours.xml")
    worst = [0.0, 0.0]
    for frame in list(data)[:4]:
        atoms, here = jp.to_ase(frame.structure), jp.evaluate(ours, frame.structure)
        atoms.calc = quippy
        worst[0] = max(worst[0], abs(atoms.get_potential_energy() - float(here.energy)) / len(atoms))
        worst[1] = max(worst[1], np.abs(atoms.get_forces() - here.forces).max())
    print(f"what jp.save wrote, in quippy: {worst[0]:.1e} eV/atom, {worst[1]:.1e} eV/A")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--sparse", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=10**6)
    parser.add_argument("--folder", help="work here, with gap_fit's result if it is there already")
    options = parser.parse_args()
    if options.train == "given":
        given_fit(Path(options.test))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.folder or scratch)
        if not (folder / "theirs.xml").exists():
            relabelled(options.train, folder / "train.xyz", options.frames)
            wall, cpu, peak = run_gap_fit(folder, options.sparse)
            print(f"gap_fit: {wall:.0f} s ({cpu:.0f} s of CPU), {peak / 1e3:.2f} GB", flush=True)
        mine, mine_cpu, mine_peak = measured([sys.executable, str(Path(__file__).resolve()), "given", "."], folder)
        print(f" jaxpot: {mine:.0f} s ({mine_cpu:.0f} s of CPU), {mine_peak / 1e3:.2f} GB", flush=True)
        if "wall" in locals():
            print(f" ratios: time {wall / mine:.1f} ({cpu / mine_cpu:.1f} of CPU), memory {peak / mine_peak:.1f}")
        compare(folder, options.test)


if __name__ == "__main__":
    main()
