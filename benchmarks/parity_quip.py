"""Are GAPs exactly what QUIP makes of them? Fits some with `gap_fit`, and compares energies, forces and stress.

Each fit is compared with quippy on strained and rattled crystals of its elements, as it was fitted, and once more
after `jp.save` (where the format can be written). With JAXPOT_DATA set, the published mlearn models are compared too.
The last column is what rounding alone may change of a site energy: eps times the sum of |alpha k| over sparse points.

    OMP_NUM_THREADS=1 python benchmarks/parity_quip.py [name ...]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write
from gap import unpacked
from quippy.potential import Potential as Quippy

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.potentials import LennardJones
from jaxpot.potentials.base import addends
from jaxpot.potentials.described import leaves_residual

GLUE = Path(__file__).parents[1] / "tests" / "formats" / "files" / "gap" / "glue.xml"
SE = "covariance_type=ard_se"
DOT = "covariance_type=dot_product sparse_method=cur_points n_sparse=40"
PAIRS = f"distance_2b cutoff=4.5 {SE} delta=0.5 theta_uniform=1.0 sparse_method=uniform n_sparse=15 add_species=T"
ANGLES = f"angle_3b cutoff=3.0 {SE} delta=0.1 theta_fac=0.5 sparse_method=uniform n_sparse=60 add_species=T"
ISOLATED = "e0_method=isolated"

# name: (elements, coordinates, further options of gap_fit)
FITS = {
    "pairs": (["Si"], [PAIRS], ["e0=0.0"]),
    "angles": (["Si"], [ANGLES], ["e0=-0.1"]),
    "soap": (
        ["Si"],
        [f"soap l_max=4 n_max=5 atom_sigma=0.5 cutoff=4.5 cutoff_transition_width=1.0 zeta=2 delta=1.5 "
         f"add_species=T {DOT}"],
        [ISOLATED],
    ),
    "sum": (
        ["Si"],
        [PAIRS, ANGLES, f"soap l_max=4 n_max=5 atom_sigma=0.5 cutoff=4.5 zeta=4 delta=0.5 add_species=T {DOT}"],
        [ISOLATED],
    ),
    "large soap": (
        ["Si"], [f"soap l_max=8 n_max=8 atom_sigma=0.5 cutoff=5.4 zeta=4 delta=1 add_species=F {DOT}"], ["e0=-0.1"]
    ),
    "squared exponential": (
        ["Si"],
        [f"soap l_max=3 n_max=4 atom_sigma=0.5 cutoff=4.5 delta=1.0 {SE} theta_uniform=1.0 sparse_method=cur_points "
         "n_sparse=40 add_species=T"],
        [ISOLATED],
    ),
    "weak centre": (
        ["Si"],
        [f"soap l_max=2 n_max=6 atom_sigma=0.7 cutoff=5.0 central_weight=0.5 zeta=1 delta=1.0 add_species=T {DOT}"],
        ["e0_method=average"],
    ),
    "clusters of two": (["Si"], [PAIRS.replace("2b", "Nb order=2 compact_clusters=T")], [ISOLATED]),
    "clusters of three": (
        ["Si"],
        [f"distance_Nb order=3 compact_clusters=T cutoff=3.2 {SE} delta=0.5 theta_uniform=1.0 sparse_method=uniform "
         "n_sparse=60 add_species=T"],
        [ISOLATED],
    ),
    "clusters of two, each once": (["Si"], [PAIRS.replace("2b", "Nb order=2 compact_clusters=F")], [ISOLATED]),
    "clusters, two elements": (
        ["Si", "C"],
        [f"distance_Nb order=2 compact_clusters=F cutoff=4.0 {SE} delta=0.5 theta_uniform=1.0 sparse_method=uniform "
         "n_sparse=15 add_species=T",
         f"distance_Nb order=3 compact_clusters=F cutoff=3.0 {SE} delta=0.3 theta_uniform=1.0 sparse_method=uniform "
         "n_sparse=40 add_species=T"],
        [ISOLATED],
    ),
    "clusters, three elements": (
        ["Si", "C", "O"],
        [PAIRS, f"distance_Nb order=3 compact_clusters=F cutoff=2.8 {SE} delta=0.3 theta_uniform=1.0 "
         "sparse_method=uniform n_sparse=20 add_species=T",
         f"distance_Nb order=3 cutoff=2.8 {SE} delta=0.3 theta_uniform=1.0 sparse_method=uniform n_sparse=20 "
         "Z={{6 8 14}} add_species=F"],
        [ISOLATED],
    ),
    "two elements": (
        ["Si", "C"],
        [f"soap l_max=3 n_max=4 atom_sigma=0.4 cutoff=4.0 cutoff_transition_width=0.7 zeta=4 delta=1.0 add_species=T "
         f"{DOT}"],
        [ISOLATED],
    ),
    "two elements, sum": (
        ["Si", "C"],
        [PAIRS, ANGLES, f"soap l_max=3 n_max=4 atom_sigma=0.4 cutoff=4.0 zeta=3 delta=0.5 add_species=T {DOT}"],
        [ISOLATED],
    ),
    "every channel": (
        ["Si", "C"],
        [f"soap l_max=3 n_max=4 atom_sigma=0.4 cutoff=4.0 zeta=4 delta=1.0 add_species=T "
         f"central_reference_all_species=T {DOT}"],
        [ISOLATED],
    ),
    "core": (["Si", "C"], [PAIRS], [ISOLATED, f"core_param_file={GLUE.name}", "core_ip_args={IP Glue}"]),
    "three elements": (
        ["Si", "C", "O"],
        [f"soap l_max=3 n_max=3 atom_sigma=0.5 cutoff=4.0 zeta=2 delta=1.0 add_species=T {DOT}"],
        [ISOLATED],
    ),
    "three elements, sum": (
        ["Si", "C", "O"],
        [PAIRS, f"soap l_max=3 n_max=3 atom_sigma=0.5 cutoff=4.0 zeta=2 delta=1.0 add_species=T {DOT}"],
        [ISOLATED],
    ),
}


def crystal(elements, seed):
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", cubic=True, a=5.43 if len(elements) == 1 else 4.6)
    atoms.symbols = [elements[k] for k in rng.integers(0, len(elements), len(atoms))]
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.03 * rng.normal(size=(3, 3))), scale_atoms=True)
    atoms.rattle(0.15, rng=rng)
    return atoms


def fit(name, folder):
    """The path of a fitted GAP; energies, forces and virials are those of a Lennard-Jones mixture."""
    elements, coordinates, options = FITS[name]
    teacher = LennardJones(0.3, 2.0, 5.0, shift="smooth")
    frames = [Atoms(z, cell=[20.0] * 3, pbc=True) for z in elements] + [crystal(elements, seed) for seed in range(14)]
    for atoms in frames:
        result = jp.evaluate(teacher, atoms)
        atoms.info["energy"] = float(result.energy) + 0.3 * atoms.symbols.count("Si")
        atoms.arrays["force"] = np.asarray(result.forces)
        atoms.info["virial"] = -np.asarray(result.stress) * atoms.get_volume()
    write(folder / "train.xyz", frames)
    (folder / GLUE.name).write_bytes(GLUE.read_bytes())
    program = Path(sys.executable).with_name("gap_fit")
    subprocess.run(
        [program, "at_file=train.xyz", f"gap={{{' : '.join(coordinates)}}}", "default_sigma={0.002 0.05 0.05 0}",
         "sparse_jitter=1e-8", "energy_parameter_name=energy", "force_parameter_name=force",
         "virial_parameter_name=virial", "gp_file=gap.xml", *options],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )
    return folder / "gap.xml"


def differences(potential, path, structures):
    """Largest differences: eV an atom, eV of one site, eV/A, eV/A^3; and what rounding may do to a site, eV."""
    peer = Quippy(param_filename=str(path))
    worst = np.zeros(4)
    for atoms in structures:
        found = jp.evaluate(potential, atoms)
        atoms.calc = peer
        worst = np.maximum(worst, [
            abs(float(found.energy) - atoms.get_potential_energy()) / len(atoms),
            np.abs(np.asarray(found.energies) - atoms.get_potential_energies()).max(),
            np.abs(np.asarray(found.forces) - atoms.get_forces()).max(),
            np.abs(np.asarray(found.stress) - atoms.get_stress(voigt=False)).max(),
        ])
        atoms.calc = None
    return np.append(worst, max(round_off(potential, atoms) for atoms in structures))


def round_off(potential, atoms):
    """eps sum |alpha k| of the worst site, eV."""
    total = 0.0
    for _, term in addends(potential):
        if leaves_residual(term):
            readout = term.readout.replace(weights=np.abs(np.asarray(term.readout.weights)))
            total = total + np.asarray(jp.site_energies(term.replace(readout=readout), atoms))
    return np.finfo(float).eps * np.max(total)


def report(label, values):
    print(f"{label:40s}" + "".join(f"{value:12.1e}" for value in values), flush=True)


def main():
    units = ("eV/atom", "eV/site", "eV/A", "eV/A^3", "round-off")
    print(f"{'largest differences from quippy':40s}" + "".join(f"{unit:>12s}" for unit in units))
    for name in sys.argv[1:] or FITS:
        elements = FITS[name][0]
        structures = [crystal(elements, seed) for seed in range(100, 104)]
        with tempfile.TemporaryDirectory() as folder:
            path = fit(name, Path(folder))
            potential = jp.load(path, species=elements if "add_species=F" in FITS[name][1][0] else None)
            report(name, differences(potential, path, structures))
            written = Path(folder) / "written.xml"
            try:
                jp.save(potential, written)
            except DataError as error:
                print(f"    not written: {str(error)[:100]}")
            else:
                report("    written by jp.save", differences(potential, written, structures))
    data = os.environ.get("JAXPOT_DATA")
    if data is None or sys.argv[1:]:
        return
    paths = {path.parents[2].name: path for path in sorted(Path(data).glob("mlearn/*/published/gap/gap.xml"))}
    example = Path(data) / "mlearn" / "gap_example_Mo" / "soap.xml"
    for name, path in {**paths, "Mo (example)": example}.items():
        element = name.split()[0]
        structures = [bulk(element, cubic=True) * (2, 2, 2) for _ in range(2)]
        for seed, atoms in enumerate(structures):
            atoms.rattle(0.1, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = unpacked(path, Path(folder))
                report(f"mlearn {name}", differences(jp.load(found), found, structures))
            except jp.errors.FormatError as error:
                print(f"mlearn {name}: {str(error)[:100]}")


if __name__ == "__main__":
    main()
