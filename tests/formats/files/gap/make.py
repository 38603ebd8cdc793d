"""How the GAPs in this folder were made: fits to a made-up alloy, and what quippy says about them.

    pip install quippy-ase
    python make.py [name ...]

`two.xml` has pairs, triangles and SOAP of two elements; its sparse points lie beside it. `plain.xml` has a SOAP
that names no element, and its training set inside. `core.xml` was fitted on a Glue, `clusters.xml` has
`distance_Nb` of two and three atoms, `unlike.xml` those of two elements, not compact but for one. `with_*.xml` are
`core.xml` with other classical parts (`parts.xml`); in `with_slope.xml` pairs of Lennard-Jones have a linear force
shift without an energy shift. Reference energies, forces, stresses and site energies are in `reference.json`.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.morse import MorsePotential
from ase.io import write
from quippy.potential import Potential

HERE = Path(__file__).parent
SOAP = "covariance_type=dot_product sparse_method=cur_points n_sparse=10"
FITS = {
    "two": (
        ["Si", "C"],
        "{distance_2b cutoff=4.0 cutoff_transition_width=1.0 covariance_type=ard_se delta=0.5 theta_uniform=1.0 "
        "sparse_method=uniform n_sparse=8 add_species=T : "
        "angle_3b cutoff=3.0 covariance_type=ard_se delta=0.1 theta_fac=0.5 sparse_method=uniform n_sparse=15 "
        "Z=6 Z1=14 Z2=14 : "
        f"soap n_max=3 l_max=2 atom_sigma=0.5 cutoff=4.0 zeta=3 delta=0.5 add_species=T {SOAP}}}",
        ["e0_method=isolated", "do_copy_at_file=F"],
    ),
    "plain": (
        ["Si"],
        "{soap n_max=4 l_max=3 atom_sigma=0.6 cutoff=4.2 cutoff_transition_width=0.8 central_weight=0.7 zeta=2 "
        f"delta=1.0 add_species=F {SOAP}}}",
        ["e0=-0.25"],
    ),
    "core": (
        ["Si", "C"],
        "{distance_2b cutoff=4.0 covariance_type=ard_se delta=0.5 theta_uniform=1.0 sparse_method=uniform n_sparse=5 "
        "add_species=T}",
        ["e0_method=isolated", "do_copy_at_file=F", "core_param_file=glue.xml", "core_ip_args={IP Glue}"],
    ),
    "clusters": (
        ["Si"],
        "{distance_Nb order=2 cutoff=4.0 compact_clusters=T covariance_type=ard_se delta=0.5 theta_uniform=1.0 "
        "sparse_method=uniform n_sparse=5 add_species=T : distance_Nb order=3 cutoff=3.2 compact_clusters=T "
        "covariance_type=ard_se delta=0.1 theta_uniform=0.8 sparse_method=uniform n_sparse=10 add_species=T}",
        ["e0=-0.25", "do_copy_at_file=F"],
    ),
    "unlike": (
        ["Si", "C"],
        "{distance_Nb order=2 cutoff=3.5 compact_clusters=F covariance_type=ard_se delta=0.5 theta_uniform=1.0 "
        "sparse_method=uniform n_sparse=4 add_species=T : distance_Nb order=3 cutoff=3.0 compact_clusters=F "
        "covariance_type=ard_se delta=0.1 theta_uniform=0.8 sparse_method=uniform n_sparse=6 add_species=T : "
        "distance_Nb order=3 cutoff=2.8 covariance_type=ard_se delta=0.1 theta_uniform=0.9 sparse_method=uniform "
        "n_sparse=6 Z={{6 14 14}} add_species=F}",
        ["e0_method=isolated", "do_copy_at_file=F"],
    ),
}
SLOPE = 'energy_shift="T"', 'energy_shift="F"'
PARTS = ("LJ", "slope", "Morse", "SW", "Tersoff")


def crystal(elements, seed):
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", cubic=True, a=4.8)
    atoms.symbols = [elements[k] for k in rng.integers(0, len(elements), len(atoms))]
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
    atoms.rattle(0.15, rng=rng)
    return atoms


def training(elements):
    frames = [Atoms(z, cell=[20.0] * 3, pbc=True) for z in elements] if len(elements) > 1 else []
    frames += [crystal(elements, seed) for seed in range(8 if len(elements) > 1 else 3)]
    for atoms in frames:
        atoms.calc = MorsePotential(epsilon=0.6, r0=2.2, rho0=3.0, rcut1=3.5, rcut2=4.0)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.info["energy"] = energy + 0.2 * atoms.symbols.count("Si")
        atoms.arrays["force"] = forces
    return frames


def main():
    """Make all, or those that are named."""
    reference = json.loads((HERE / "reference.json").read_text())
    for name in sys.argv[1:] or FITS:
        elements, gap, options = FITS[name]
        with tempfile.TemporaryDirectory() as folder:
            write(f"{folder}/train.xyz", training(elements))
            shutil.copy(HERE / "glue.xml", folder)
            program = Path(sys.executable).with_name("gap_fit")
            subprocess.run(
                [program, "at_file=train.xyz", f"gap={gap}", "default_sigma={0.002 0.05 0 0}", "sparse_jitter=1e-8",
                 "energy_parameter_name=energy", "force_parameter_name=force", f"gp_file={name}.xml",
                 *options],
                cwd=folder, check=True, stdout=subprocess.DEVNULL,
            )
            for old in HERE.glob(f"{name}.xml*"):
                old.unlink()
            for file in Path(folder).glob(f"{name}.xml*"):
                (HERE / file.name).write_bytes(file.read_bytes())
        reference[name] = results_of(name, elements)
    core = (HERE / "core.xml").read_text()
    for part in PARTS:
        # Of the reference energies, which gap_fit writes for every element, those that count.
        text = re.sub(r' *<e0 Z="\d+" value="\.0+E\+000"/>\n', "", core)
        kind, parameters = ("LJ", section("LJ").replace(*SLOPE)) if part == "slope" else (part, section(part))
        text = text.replace("{IP Glue}", f"{{IP {kind}}}").replace("<GAP_params", parameters + "<GAP_params", 1)
        (HERE / f"with_{part}.xml").write_text(text)
        reference[f"with_{part}"] = results_of(f"with_{part}", ["Si", "C"])
    (HERE / "reference.json").write_text(json.dumps(reference, indent=1))


def section(part):
    text = (HERE / "parts.xml").read_text()
    end = f"</{part}_params>\n"
    return text[text.index(f"<{part}_params") : text.index(end)] + end


def results_of(name, elements):
    """What quippy says of two structures."""
    calculator = Potential(param_filename=str(HERE / f"{name}.xml"))
    results = []
    for seed in (101, 102):
        atoms = crystal(elements, seed)
        atoms.calc = calculator
        results.append({
            "symbols": list(atoms.symbols), "cell": atoms.cell.tolist(), "positions": atoms.positions.tolist(),
            "energy": atoms.get_potential_energy(), "energies": atoms.get_potential_energies().tolist(),
            "forces": atoms.get_forces().tolist(), "stress": atoms.get_stress(voigt=False).tolist(),
        })
    return results


if __name__ == "__main__":
    main()
