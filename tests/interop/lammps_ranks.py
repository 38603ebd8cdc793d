"""What test_lammps.py asks of LAMMPS, on as many ranks as this is started on: `mpiexec -n 2 python lammps_ranks.py OUT CASES`.

Writes a JSON document: name of a case -> numbers.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)

from models import MODELS, Ewald, diamond, hopping, ions, salt, small_gap  # noqa: E402

import jaxpot as jp  # noqa: E402
from jaxpot.interop.lammps import attach, mpi, start  # noqa: E402
from jaxpot.interop.lammps.pair import whole_structure  # noqa: E402


def perturbed(structure, repeats, seed=1, size=0.06, strain=0.0):
    """A supercell with displaced atoms, sheared and stretched."""
    rng = np.random.default_rng(seed)
    atoms = jp.Structure.of(structure).repeated(repeats)
    shape = np.eye(3) + strain * rng.normal(size=(3, 3))
    moved = np.asarray(atoms.positions) + size * rng.normal(size=atoms.positions.shape)
    return atoms.moved(moved @ shape, np.asarray(atoms.cell) @ shape)


def lower(structure):
    """The structure turned so that its cell is lower triangular, as LAMMPS wants it; open axes get room."""
    positions, cell = np.asarray(structure.positions), np.array(structure.cell)
    pbc = np.array(structure.pbc)
    if not pbc.all():
        span = np.ptp(positions, axis=0)
        axes = np.eye(3)
        if pbc.any():  # a slab: its open axis is the third one
            cell[~pbc] = np.cross(*cell[pbc])[None] / np.linalg.norm(np.cross(*cell[pbc]))
            cell[~pbc] *= span.sum() + 12.0
        else:
            cell = axes * (span + 12.0)
        positions = positions - positions.mean(0) + 0.5 * cell[~pbc].sum(0) * 1.0
    q, r = np.linalg.qr(cell.T)
    sign = np.sign(np.diag(r))
    cell, turn = r.T * sign, q * sign
    if np.linalg.det(turn) < 0:
        raise ValueError("left-handed")
    positions = positions @ turn
    fractional = positions @ np.linalg.inv(cell)
    fractional[:, pbc] %= 1.0
    return structure.moved(fractional @ cell, cell)


def load(engine, structure, species):
    """The structure in LAMMPS."""
    engine.command("clear")
    cell, pbc = np.asarray(structure.cell), structure.pbc
    charges = structure.atom_data.get("charges")
    for command in (
        "units metal", f"atom_style {'atomic' if charges is None else 'charge'}", "atom_modify map array", "newton on", "box tilt large",
        "boundary " + " ".join("p" if p else "f" for p in pbc),
        "region box prism " + " ".join(f"{x:.17g}" for x in (
            0, cell[0, 0], 0, cell[1, 1], 0, cell[2, 2], cell[1, 0], cell[2, 0], cell[2, 1])),
        f"create_box {len(species)} box",
    ):
        engine.command(command)
    types = [species.index(s) + 1 for s in structure.symbols]
    positions = np.asarray(structure.positions)
    engine.create_atoms(len(structure), list(range(1, len(structure) + 1)), types, positions.reshape(-1).tolist())
    for k in range(0 if charges is None else len(structure)):
        engine.command(f"set atom {k + 1} charge {float(charges[k]):.17g}")
    for k, name in enumerate(species):
        engine.command(f"mass {k + 1} {float(jp.Structure(np.zeros((1, 3)), np.eye(3), [name]).masses[0])}")
    engine.command("neighbor 0.8 bin")
    engine.command("thermo_style custom step pe ke etotal press pxx pyy pzz pxy pxz pyz vol")


def numbers_of(species):
    return jp.Structure(np.zeros((len(species), 3)), np.eye(3), list(species)).numbers


def all_atoms(engine, name, columns=3):
    count = engine.get_natoms()
    return np.ctypeslib.as_array(engine.gather_atoms(name, 1, columns)).reshape(count, columns)


def compared(engine, potential, species):
    """Differences between LAMMPS and `jp.evaluate`, of the atoms as LAMMPS has them now."""
    structure = whole_structure(engine, np.asarray(numbers_of(species)))
    if potential.needs:
        structure = structure.replace(atom_data={"charges": all_atoms(engine, "q", 1)[:, 0]})
    ours = jp.evaluate(potential, structure)
    energy, forces = engine.get_thermo("pe"), all_atoms(engine, "f")
    result = {
        "energy": abs(energy - float(ours.energy)) / max(1.0, abs(float(ours.energy))),
        "forces": float(np.abs(forces - ours.forces).max() / max(1.0, np.abs(np.asarray(ours.forces)).max())),
        "size": float(np.abs(np.asarray(ours.forces)).max()),
        "atoms": len(structure),
    }
    if all(structure.pbc):
        pressures = np.array([engine.get_thermo(name) for name in ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")])
        stress = np.asarray(ours.stress)
        wanted = -engine.extract_global("nktv2p") * np.array([stress[a, b] for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))])
        kinetic = engine.get_thermo("ke")
        if kinetic == 0.0:
            result["virial"] = float(np.abs(pressures - wanted).max() / max(1e4, np.abs(wanted).max()))
    return result


def act(engine, potential, species, way="plugin"):
    """Let the potential act, by the plugin, by fix external or as a bundle that is there, and compute once."""
    if way == "external":
        engine.command("pair_style zero 5.0")
        engine.command("pair_coeff * *")
        attach(engine, potential, species)
    else:
        engine.jaxpot.models["mine"] = potential
        engine.command("pair_style jaxpot")
        engine.command(f"pair_coeff * * {'mine' if way == 'plugin' else way} {' '.join(species)}")
    engine.command("run 0")


KINDS = {
    "crystal": ("stillinger-weber", (3, 3, 3), 0.0),
    "sheared": ("stillinger-weber", (3, 2, 4), 0.04),
    "small": ("stillinger-weber", (1, 1, 1), 0.02),
    "slab": ("a slab", (3, 3, 1), 0.0),
    "alloy": ("eam, two elements", (3, 3, 3), 0.03),
    "pairs": ("lj, smooth, two elements", (2, 2, 3), 0.02),
    "processes": ("gap, sum for two elements", (2, 2, 2), 0.02),
    "networks": ("networks, symmetry functions, two elements", (2, 2, 2), 0.02),
    "hops": ("two hops with angles", (3, 3, 2), 0.02),
    "equivariant": ("nequip", (2, 2, 2), 0.02),
    "pairs and hops": ("sum", (2, 2, 2), 0.02),
    "molecule": ("mace, two elements", (1, 1, 1), 0.0),
}
IONS = {"ions": ions, "ions with hops": lambda: ions() + 0.2 * hopping(), "charges": lambda: Ewald(np.array(0.8))}


def kind(name):
    """A potential and a structure."""
    model, repeats, strain = KINDS[name]
    make, structure = MODELS[model][:2]
    potential = make() + hopping() if name == "pairs and hops" else make()
    return potential, lower(perturbed(structure, repeats, strain=strain))


def bundle_of(name):
    return f"{name.replace(' ', '_')}.bundle"


def of_kind(engine, name, way="plugin"):
    potential, structure = kind(name)
    species = sorted(set(structure.symbols))
    load(engine, structure, species)
    act(engine, potential, species, way)
    return compared(engine, potential, species)


def of_ions(engine, name):
    """Charges of both signs with Ewald's sums, in a sheared box of which each rank has a part; then in dynamics."""
    structure = lower(perturbed(salt(), (2, 3, 2), strain=0.03))
    species, potential = sorted(set(structure.symbols)), IONS[name]()
    load(engine, structure, species)
    act(engine, potential, species)
    result = compared(engine, potential, species)
    if name == "ions":
        engine.commands_string("velocity all create 900 5\nfix 1 all npt temp 900 900 0.1 tri 0 0 0.5\nrun 10")
        result |= {f"{key} later": value for key, value in compared(engine, potential, species).items()}
    return result


def angles(engine):
    """CHGNet, whose biases of bonds depend on whether any atom has an angle: first all, then two apart have none."""
    make, structure = MODELS["chgnet, two elements"][:2]
    structure, potential = lower(perturbed(structure, (3, 2, 2), strain=0.02)), make()
    bonds = tuple(update.replace(bias=(np.full(len(update.kernel), 0.4),)) for update in potential.bonds)
    species, potential = sorted(set(structure.symbols)), potential.replace(bonds=bonds)
    load(engine, structure, species)
    act(engine, potential, species)
    result = compared(engine, potential, species)
    cluster = np.array([[1.0, 1.0, 1.0], [3.1, 1.2, 0.9], [1.2, 3.0, 1.1], [50.0, 1.0, 1.0], [51.9, 1.1, 1.0]])
    apart = jp.Structure(cluster, np.diag([60.0, 12.0, 12.0]), ["Si", "C", "Si", "Si", "C"])
    load(engine, apart, species)
    act(engine, potential, species)
    return result | {f"{key} later": value for key, value in compared(engine, potential, species).items()}


def silicon(engine, repeats=(4, 4, 4), size=0.05):
    load(engine, lower(perturbed(jp.Structure(
        diamond(5.43, ["Si", "Si"]).positions, diamond(5.43, ["Si", "Si"]).cell, [14, 14]), repeats, size=size)), ["Si"])
    return jp.load("sw-silicon")


def moving(engine, way="plugin"):
    """Atoms that cross ranks, in a box that changes: compared after 600 steps at 2,500 K."""
    potential = silicon(engine)
    act(engine, potential, ["Si"], way)
    engine.commands_string(
        "velocity all create 5000 5\nfix 1 all npt temp 2500 2500 0.1 tri 0 0 0.5\ntimestep 0.001\nrun 600"
    )
    return compared(engine, potential, ["Si"]) | {"volume": engine.get_thermo("vol")}


def minimised(engine):
    potential = silicon(engine, (2, 2, 2), 0.1)
    act(engine, potential, ["Si"])
    engine.command("minimize 0 1e-8 1000 1000")
    forces = all_atoms(engine, "f")
    return compared(engine, potential, ["Si"]) | {"left": float(np.abs(forces).max())}


def heat(engine, way="plugin"):
    """The heat flux by LAMMPS's compute, with centroid stress, and ours."""
    potential = silicon(engine, (3, 3, 3))
    act(engine, potential, ["Si"], way)
    engine.commands_string(
        "velocity all create 900 3\ncompute ke all ke/atom\ncompute pe all pe/atom\n"
        "compute st all centroid/stress/atom NULL virial\ncompute J all heat/flux ke pe st\n"
        "compute s6 all stress/atom NULL virial\ncompute sum all reduce sum c_s6[1] c_s6[2] c_s6[3] c_s6[4]\n"
        "compute pes all reduce sum c_pe\n"
        "thermo_style custom step pe ke pxx pyy pzz pxy vol c_J[1] c_J[2] c_J[3] c_sum[1] c_sum[4] c_pes\nrun 0"
    )
    flux = np.array(engine.numpy.extract_compute("J", 0, 1))[:3]
    sums = np.array(engine.numpy.extract_compute("sum", 0, 1))
    structure = whole_structure(engine, np.array([14]))
    # As LAMMPS has it: the energy of amu (A/ps)^2 in eV.
    picosecond = 1.0 / np.sqrt(engine.extract_global("mvv2e"))  # A sqrt(amu/eV)
    carried, passed = jp.heat_flux(potential, structure, all_atoms(engine, "v") / picosecond)
    ours = (np.asarray(carried) + np.asarray(passed)) * picosecond
    stress, bar = np.asarray(jp.evaluate(potential, structure).stress) * float(structure.volume), engine.extract_global("nktv2p")
    return {
        "flux": float(np.abs(flux - ours).max() / np.abs(ours).max()),
        "virial": float(abs(sums[0] / bar - stress[0, 0]) / abs(stress[0, 0])),
        "shear": float(abs(sums[3] / bar - stress[0, 1]) / abs(stress[0, 0])),
        "sites": abs(engine.extract_compute("pes", 0, 0) / engine.get_thermo("pe") - 1.0),
    }


def hybrid(engine):
    """Beside another style, and with a type that is not ours."""
    potential = silicon(engine, (3, 3, 3))
    engine.jaxpot.models["mine"] = potential
    engine.commands_string(
        "pair_style hybrid/overlay jaxpot lj/cut 5.0\npair_coeff * * jaxpot mine Si\n"
        "pair_coeff 1 1 lj/cut 0.01 2.2\nrun 0"
    )
    total = potential + jp.potentials.LennardJones(0.01, 2.2, 5.0)
    return compared(engine, total, ["Si"])


def uncertain(potential, ending):
    names = [name for name in jp.potentials.base.parameter_names(potential) if name.endswith(ending)]
    return jp.Posterior.of(potential, {name: 0.01 * (k + 1) for k, name in enumerate(names)})


def of_sites(engine):
    """Deviations of site energies and of the energy, of a Gaussian process, beside `jp.variance` and `jp.std`."""
    posterior = uncertain(small_gap(), "readout.weights")
    load(engine, lower(perturbed(diamond(4.6, ["Si", "C"]), (2, 2, 2))), ["C", "Si"])
    engine.jaxpot.models["mine"] = posterior
    engine.commands_string(
        "pair_style jaxpot\npair_coeff * * mine C Si\ncompute u all jaxpot/std/atom\ncompute w all jaxpot/std\n"
        "compute um all reduce sum c_u\nthermo_style custom step pe c_w c_um\nrun 0"
    )
    structure = whole_structure(engine, np.array([6, 14]))
    sites = np.sqrt(np.asarray(jp.variance(posterior, structure).sites)).sum()
    energy = float(jp.std(posterior, structure).epistemic.energy)
    return {
        "sites": abs(engine.extract_compute("um", 0, 0) / sites - 1.0),
        "energy": abs(engine.extract_compute("w", 0, 0) / energy - 1.0),
    }


def of_forces(engine):
    """Deviations of forces, of a linear model and of a formula, beside `jp.std`."""
    result = {}
    for name, ending in (("linear in soap", "weights"), ("stillinger-weber", "sigma"), ("two hops with angles", "weights")):
        make, structure = MODELS[name][:2]
        posterior, element = uncertain(make(), ending), structure.symbols[0]
        load(engine, lower(perturbed(structure, (2, 2, 2))), [element])
        engine.jaxpot.models["mine"] = posterior
        engine.commands_string(
            f"pair_style jaxpot\npair_coeff * * mine {element}\ncompute v all jaxpot/std/atom force\n"
            "compute u all jaxpot/std/atom\ncompute um all reduce sum c_u\ncompute vm all reduce sum c_v\n"
            "thermo_style custom step pe ke pxx pyy pzz pxy pxz pyz c_vm c_um\nrun 0"
        )
        ours = jp.std(posterior, whole_structure(engine, np.asarray(numbers_of([element])))).epistemic
        for key, wanted in (("vm", np.sqrt((np.asarray(ours.forces) ** 2).sum(1)).sum()), ("um", ours.energies.sum())):
            result[f"{name}, {key}"] = abs(engine.extract_compute(key, 0, 0) / float(wanted) - 1.0)
        result[f"{name}, energy"] = compared(engine, posterior.potential, [element])["energy"]
    return result


def halted(engine):
    """A run that stops where a deviation passes a threshold."""
    silicon(engine, (2, 2, 2), 0.0)
    engine.jaxpot.models["mine"] = uncertain(jp.load("sw-silicon"), "sigma")
    engine.commands_string(
        "pair_style jaxpot\npair_coeff * * mine Si\ncompute u all jaxpot/std/atom\ncompute most all reduce max c_u\n"
        "variable most equal c_most\nvelocity all create 3000 5\nfix 1 all nve\ntimestep 0.001\n"
        "thermo_style custom step pe c_most\nfix 2 all halt 5 v_most > 0.015 error continue\nrun 500"
    )
    return {"steps": engine.extract_global("ntimestep"), "most": engine.extract_compute("most", 0, 0)}


def swapped(engine, way="plugin"):
    """Atoms that exchange elements by Monte Carlo at 1 K, where the energy can only fall; LAMMPS keeps its list."""
    make, structure = MODELS["stillinger-weber, two elements"][:2]
    species = sorted(set(structure.symbols))
    load(engine, lower(perturbed(structure, (2, 2, 2))), species)
    engine.command("set group all type/fraction 2 0.5 71")
    act(engine, make(), species, way)
    engine.command("fix swap all atom/swap 1 4 29 1.0 types 1 2 ke no")
    energies = [engine.get_thermo("pe")]
    for _ in range(8):
        engine.command("run 1")
        energies.append(engine.get_thermo("pe"))
    return {"rise": float(np.diff(energies).max()), "fall": energies[0] - energies[-1]}


def conserved(engine):
    """Energy along 2,000 steps at constant energy."""
    potential = silicon(engine, (2, 2, 2), 0.0)
    act(engine, potential, ["Si"])
    engine.commands_string("velocity all create 1200 5\nfix 1 all nve\ntimestep 0.001\nrun 100")
    first = engine.get_thermo("etotal")
    engine.command("run 2000")
    return {"drift": abs(engine.get_thermo("etotal") - first) / engine.get_natoms()}


def conserved_beside_md(engine):
    """Energy an atom along 10,000 steps at constant energy, here and by `jp.md.run` from the same start: meV."""
    potential = silicon(engine, (2, 2, 2), 0.0)
    act(engine, potential, ["Si"])
    engine.commands_string("velocity all create 1200 5\nfix 1 all nve\ntimestep 0.001\nrun 200")
    start_here, velocities = whole_structure(engine, np.array([14])), all_atoms(engine, "v").copy()
    energies = []
    for _ in range(100):
        engine.command("run 100")
        energies.append(engine.get_thermo("etotal"))
    picosecond = np.sqrt(engine.extract_global("mvv2e"))  # over the internal unit of time
    table = jp.md.Thermo(100)
    dynamics = jp.md.NVE(potential, 1.0 * jp.units.fs)
    state = jp.md.run(dynamics, start_here, 0, temperature=600.0).state
    jp.md.run(dynamics, state.replace(velocities=velocities * picosecond), 10_000, observers=[table])
    ours = table.table["total_eV"][1:]
    count = engine.get_natoms()
    return {
        name: {"spread": 1e3 * float(np.std(values)) / count, "drift": 1e3 * abs(slope(values)) / count}
        for name, values in (("here", np.array(energies)), ("md", ours))
    } | {"apart": 1e3 * abs(np.mean(energies) - np.mean(ours)) / count}


def slope(values):
    """Of the straight line through values, times their number."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0]) * len(values)


def written(engine):
    """A restart file."""
    potential = silicon(engine, (2, 2, 2))
    act(engine, potential, ["Si"])
    engine.commands_string("velocity all create 1200 5\nfix 1 all nve\ntimestep 0.001\nrun 50\nwrite_restart half.restart\nrun 50")
    return {"energy": engine.get_thermo("pe"), "total": engine.get_thermo("etotal")}


def continued(engine):
    potential = jp.load("sw-silicon")
    engine.command("clear")
    engine.command("read_restart half.restart")
    engine.jaxpot.models["mine"] = potential
    engine.commands_string(
        "pair_style jaxpot\npair_coeff * * mine Si\nthermo_style custom step pe etotal\nfix 1 all nve\nrun 50"
    )
    return {"energy": engine.get_thermo("pe"), "total": engine.get_thermo("etotal"), "step": engine.extract_global("ntimestep")}


CASES = {name: lambda engine, name=name: of_kind(engine, name) for name in KINDS}
CASES |= {name: lambda engine, name=name: of_ions(engine, name) for name in IONS}
CASES |= {f"external {name}": lambda engine, name=name: of_kind(engine, name, "external") for name in KINDS}
CASES |= {f"bundle {name}": lambda engine, name=name: of_kind(engine, name, bundle_of(name)) for name in KINDS}
CASES |= {
    f"bundle {case.__name__}": lambda engine, case=case: case(engine, bundle_of("crystal")) for case in (moving, heat)
}
CASES["external swapped"] = lambda engine: swapped(engine, "external")
CASES |= {
    case.__name__: case
    for case in (
        angles, moving, minimised, swapped, heat, hybrid, of_sites, of_forces, halted, conserved, conserved_beside_md,
        written, continued,
    )
}


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    engine = start(["-screen", "none", "-log", "none"])
    document = {name: CASES[name](engine) for name in names or CASES}
    if mpi.ranks()[0] == 0:
        Path(out).write_text(json.dumps(document, indent=1))
    engine.finalize()
