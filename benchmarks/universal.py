"""How long do energy, forces and stress of a universal potential take beside its home package, and how near the floor?

Disturbed crystals, one core, the precision of the peer; the peer runs in an environment of its own, in a process that
waits while ours works: rounds are interleaved. Both are given positions that have changed, and find their neighbours
again in each call (ours in the list's own way: it is made anew in each round). Medians over rounds, of the processor's
time (on an accelerator of wall time): what other programs on the same core take is not counted.

The floor: products of the radial networks (forward, forward again and backward, since states of atoms alone are kept),
which take most of the multiply-adds, at the rate of large products on this core in the same run.

    python benchmarks/universal.py peer sevenn --into FOLDER     # an environment with sevenn and torch (2 GB)
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/universal.py speed checkpoint_sevennet_0.pth \\
        --peer FOLDER/sevenn/bin/python --sizes 2 3 4
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/universal.py speed FOLDER/ani-1x --double --crystal H2O \\
        --sizes 4 5 7 --kind torchani --peer FOLDER/torchani/bin/python --member 0 --species H O
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/universal.py spread FOLDER/ani-1x --species H O
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/universal.py memory checkpoint_sevennet_0.pth
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/universal.py phonons checkpoint_sevennet_0.pth \
        --peer FOLDER/sevenn/bin/python --crystal Si
    python benchmarks/universal.py parity FOLDER                 # of the references beside published files

`phonons`: 100 wave vectors of the primitive cell, first and again, beside phonopy with the peer's forces in supercells
that grow until 10 of the wave vectors agree with exact ones to 1e-2 THz (beyond `--most` atoms its time an atom is
taken, and force constants of ours in the supercell); and exact ones beside Hessian products in a supercell.

`memory`: what XLA sets aside for one evaluation, per atom, of 216 to 8,000 atoms of silicon.

On an accelerator sizes of 5, 11 and 23 are 1e3 to 1e5 atoms of silicon, and `--wait-for` lets several models compile
at once and be measured one after the other.

`spread`: an ensemble's energies, forces and stress with their standard deviations, beside those of one of its networks
alone and of their mean, in double precision.
"""

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

PEERS = {
    "sevenn": (["torch==2.13.0", "sevenn==0.13.0"], "SevenNet, on torch"),
    "chgnet": (["torch==2.13.0", "chgnet==0.4.2"], "CHGNet, on torch"),
    "nequix": (["nequix==0.4.5"], "Nequix, on JAX"),
    "mlip": (["mlip==0.2.5"], "NequIP of mlip, on JAX (training_speed.py)"),
    "torchani": (["torch==2.13.0", "torchani==2.2.4", "setuptools<81", "ase==3.29.0"], "ANI, on torch"),
}
ROUNDS = 7


def serve(kind, path, member, single):
    """The peer's side: a line of JSON in (a structure), a line out (seconds, energy)."""
    if kind == "torchani":
        calculator = torchani(path, member, single)
    else:
        calculator = {"sevenn": sevenn, "chgnet": chgnet, "nequix": nequix}[kind](path)
    from ase import Atoms

    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        atoms = Atoms(told["numbers"], told["positions"], cell=told["cell"], pbc=True)
        clock = getattr(time, told["clock"])
        start = clock()
        try:
            # All at once: asked one after the other, some compute everything anew.
            calculator.calculate(atoms, ["energy", "forces", "stress"])
            results = calculator.results
            answer = {"seconds": clock() - start, "energy": float(results["energy"])}
            if told.get("forces"):
                answer["forces"] = results["forces"].tolist()
        except RuntimeError as error:  # out of memory
            answer = {"seconds": float("nan"), "energy": float("nan"), "error": str(error)[:100]}
        if "torch" in sys.modules:
            release()  # to the others on the same device
        print(json.dumps(answer), flush=True)


def release():
    """Give back what torch has set aside on the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def torch_device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def sevenn(path):
    import torch
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(1)
    return SevenNetCalculator(path, device=torch_device())


def chgnet(path):
    import torch
    from chgnet.model import CHGNet, CHGNetCalculator

    torch.set_num_threads(1)
    return CHGNetCalculator(CHGNet.from_file(path), use_device=torch_device())


def nequix(path):
    from nequix.calculator import NequixCalculator

    return NequixCalculator(model_path=path, use_kernel=False)  # the kernel is one of CUDA


def torchani(path, member, single):
    """Calculator of all networks of a folder, or of one."""
    import torch
    from torchani import models, neurochem

    torch.set_num_threads(1)
    folder = Path(path)
    files = (str(next(folder.glob("*.params"))), str(folder / "sae_linfit.dat"), str(folder / "train"))
    # The lists of files in the wheel are empty, and it would download its models.
    neurochem.parse_neurochem_resources = lambda name: (*files, len(list(folder.glob("train*"))))
    model = models.ANI1x(periodic_table_index=True)
    model = (model if member is None else model[member]).to(torch_device())
    return (model.float() if single else model.double()).ase()


class Peer:
    """A process of another environment that computes when it is asked."""

    def __init__(self, python, kind, path, member=None, single=False):
        command = [python, __file__, "serve", kind, str(path)]
        if single:
            command.append("--single")
        if member is not None:
            command += ["--member", str(member)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL)
        self.read("ready")

    def read(self, word=None):
        for line in self.process.stdout:
            if word is None and line.startswith("{") or line.strip() == word:
                return line
        raise SystemExit("the peer has ended; run its command by hand: "
                         + " ".join(map(str, self.process.args)))

    def ask(self, atoms, forces=False, clock="perf_counter"):
        told = {"forces": forces, "numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist(),
                "cell": atoms.cell.tolist(), "clock": clock}
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()
        return json.loads(self.read())


def crystals(name, sizes):
    """Disturbed supercells, n x n x n conventional cells each; of water one molecule a cell, as dense as the liquid."""
    import numpy as np
    from ase.build import bulk, molecule

    def water():
        atoms = molecule("H2O", cell=[3.104] * 3, pbc=True)
        atoms.rotate(40.0, (1, 2, 3))
        return atoms

    def rocksalt():
        return bulk("MgO", "rocksalt", a=4.25, cubic=True)

    cell = {"Si": lambda: bulk("Si", cubic=True), "MgO": rocksalt, "H2O": water}[name]()
    for n in sizes:
        atoms = cell * (n, n, n)
        atoms.positions += 0.05 * np.random.default_rng(n).normal(size=(len(atoms), 3))
        yield atoms


def in_precision(structure, single):
    import jax
    import numpy as np

    if not single:
        return structure
    return jax.tree.map(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, structure)


def loaded(options):
    """The potential of a file or folder; of an ensemble the mean."""
    import jaxpot as jp

    given = {name: getattr(options, name, None) for name in ("modality", "species", "member")}
    potential = jp.load(options.model, **{name: value for name, value in given.items() if value is not None})
    return getattr(potential, "potential", potential)


def product_rate(dtype, now):
    """Multiply-adds a second of large products in a precision, by a clock."""
    import jax
    import jax.numpy as jnp

    a = jax.random.normal(jax.random.key(0), (2048, 2048), dtype)
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    multiply(a).block_until_ready()

    def rate():
        start = now()
        multiply(a).block_until_ready()
        return 2048**3 / (now() - start)

    return rate


def radial_products(potential, listed):
    """Multiply-adds of the radial networks for forces, of all neighbours in the list's rows."""
    edges = int(listed.counts.sum())
    return 3 * edges * sum(a.shape[0] * a.shape[1] for layer in potential.interactions for a in layer.radial)


def speed(options):
    import statistics

    import jax

    jax.config.update("jax_enable_x64", True)

    import numpy as np

    import jaxpot as jp
    from jaxpot.potentials.terms import inner_cutoffs

    potential = loaded(options)
    peer = None
    if options.peer:
        peer = Peer(options.peer, options.kind, options.model, options.member, options.single)
    clock = "process_time" if jax.default_backend() == "cpu" else "perf_counter"
    now = getattr(time, clock)
    rate = product_rate(np.float32 if options.single else np.float64, now)
    precision = "single" if options.single else "double"
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {precision} precision")
    evaluate = jax.jit(jp.evaluate)

    def once(atoms):
        """Seconds (ours, without the search, the peer's), difference of energies an atom, the peer's answer, list."""
        structure = in_precision(jp.Structure.of(atoms), options.single)
        start = now()
        listed = jp.neighbors(structure, potential.cutoff, inner=inner_cutoffs(potential))
        searched = now()
        energy = float(jax.block_until_ready(evaluate(potential, structure, listed)).energy)
        end = now()
        told = {"seconds": np.nan, "energy": np.nan}
        if peer and len(atoms) <= options.peer_most:
            told = peer.ask(atoms, clock=clock)
        return (end - start, end - searched, told["seconds"]), (energy - told["energy"]) / len(atoms), told, listed

    known = {}
    for atoms in crystals(options.crystal, options.sizes):
        seconds, off, told, known[len(atoms)] = once(atoms)
        print(f"{len(atoms)} atoms: first call {seconds[0]:.1f} s (compiled); energies per atom differ by "
              f"{abs(off):.1e} eV {told.get('error', '')}", flush=True)
    while options.wait_for and not options.wait_for.exists():
        time.sleep(0.2)
    for atoms in crystals(options.crystal, options.sizes):
        rng = np.random.default_rng(0)
        rows, rates = [], []
        for _ in range(options.rounds):
            atoms.positions += 1e-3 * rng.normal(size=atoms.positions.shape)
            rows.append(once(atoms)[0])
            rates.append(rate())
        ours, alone, theirs = zip(*rows, strict=True)
        mine, without, other = (1e3 * statistics.median(t) / len(atoms) for t in (ours, alone, theirs))
        ratio = statistics.median([b / a for a, b in zip(ours, theirs, strict=True)])
        text = f"{len(atoms)} atoms: {mine:.4g} ms an atom ({without:.4g} without the search for neighbours); the peer "
        text += f"{other:.4g}, {ratio:.1f} x as long"
        if hasattr(potential, "interactions"):
            products = radial_products(potential, known[len(atoms)])
            floor = products / statistics.median(rates) / len(atoms) * 1e3
            text += f"; floor of the radial products {floor:.3g} ms, {mine / floor:.1f} x that"
        print(text, flush=True)


def primitive(name):
    from ase import Atoms
    from ase.build import bulk

    if name == "SrTiO3":
        places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
        return Atoms("SrTiO3", scaled_positions=places, cell=[3.9] * 3, pbc=True)
    return bulk("Si") if name == "Si" else bulk("MgO", "rocksalt", 4.2)


def phonons(options):
    import statistics
    import warnings

    import jax

    jax.config.update("jax_enable_x64", True)

    import numpy as np

    import jaxpot as jp

    warnings.simplefilter("default")
    potential = loaded(options)
    q = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 3))
    crystal = jp.relax(potential, primitive(options.crystal), cell=True).structure
    times = []
    for _ in range(4):
        start = time.perf_counter()
        ours = np.asarray(jp.phonons(potential, crystal, q).frequencies) / jp.units.THz
        times.append(time.perf_counter() - start)
    second = jp.second_order(potential, crystal)
    some = second.dynamical_matrix(q[:10])
    start = time.perf_counter()
    some = np.asarray(second.dynamical_matrix(q[:10]))
    one_by_one = time.perf_counter() - start
    values = np.linalg.eigvalsh(some)
    exact = np.sign(values) * np.sqrt(np.abs(values)) / (2.0 * np.pi) / jp.units.THz
    mine = statistics.median(times[1:])
    print(f"{options.crystal}: 100 wave vectors in {times[0]:.1f} s, again in {mine:.2f} s, within "
          f"{np.abs(ours[:10] - exact).max():.1e} THz of exact ones ({10.0 * one_by_one:.1f} s for 100)", flush=True)
    commensurate = np.array([[0.5, 0.0, 0.0], [0.5, 0.5, 0.0]])
    a = np.asarray(second.dynamical_matrix(commensurate))
    b = np.asarray(jp.second_order(potential, crystal, (2, 2, 2)).dynamical_matrix(commensurate))
    print(f"  exact ones and Hessian products in a supercell: {np.abs(a - b).max() / np.abs(b).max():.1e}", flush=True)
    if not options.peer:
        return
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    from jaxpot.interop.ase import to_ase
    from jaxpot.properties.wave_mesh import wave_mesh

    def off(frequencies):
        return np.abs(np.asarray(frequencies)[:10] - exact).max()

    peer, atoms = Peer(options.peer, options.kind, options.model), to_ase(crystal)
    symbols, cell, places = atoms.get_chemical_symbols(), atoms.cell[:], atoms.get_scaled_positions()
    unit, size = PhonopyAtoms(symbols=symbols, cell=cell, scaled_positions=places), options.first
    while True:
        start, asked = time.perf_counter(), 0.0
        study = Phonopy(unit, np.diag([size] * 3), primitive_matrix=np.eye(3), log_level=0)
        study.generate_displacements(distance=0.01)
        forces = []
        for moved in study.supercells_with_displacements:
            begin = time.perf_counter()
            answer = peer.ask(to_atoms(moved), forces=True)
            asked += time.perf_counter() - begin - answer["seconds"]  # what the pipe takes is not the peer's
            forces.append(answer["forces"])
        study.forces = forces
        study.produce_force_constants()
        study.symmetrize_force_constants()
        study.run_qpoints(q)
        theirs = study.qpoints.frequencies
        seconds = time.perf_counter() - start - asked
        print(f"  phonopy, {len(forces)} x {len(forces[0])} atoms: {seconds:.1f} s ({seconds / mine:.1f} x), within "
              f"{off(theirs):.1e} THz", flush=True)
        if off(theirs) < 1e-2:
            return
        size += 1
        if len(unit) * size**3 > options.most:
            break
    # What displacements as small as one likes give in larger supercells, by the same force constants from waves.
    each = seconds / (len(forces) * len(forces[0]))
    listed = second.parts[0].listed
    while True:
        mesh = wave_mesh(crystal, (size,) * 3, potential.mirrors)
        constants = mesh.force_constants(mesh.columns(potential, crystal, listed), crystal.masses)
        values = np.linalg.eigvalsh(np.asarray(constants.dynamical_matrix(q[:10])))
        frequencies = np.sign(values) * np.sqrt(np.abs(values)) / (2.0 * np.pi) / jp.units.THz
        seconds = each * len(forces) * len(unit) * size**3
        print(f"  {len(forces)} x {len(unit) * size**3} atoms would take {seconds:.0f} s at the same time an atom "
              f"({seconds / mine:.1f} x), within {off(frequencies):.1e} THz", flush=True)
        if off(frequencies) < 1e-2:
            return
        size += 1


def to_atoms(cell):
    from ase import Atoms

    return Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)


def memory(options):
    import jax

    jax.config.update("jax_enable_x64", True)

    import jaxpot as jp
    from jaxpot.potentials.terms import inner_cutoffs

    potential = loaded(options)
    for atoms in crystals(options.crystal, options.sizes):
        structure = in_precision(jp.Structure.of(atoms), options.single)
        listed = jp.neighbors(structure, potential.cutoff, inner=inner_cutoffs(potential))
        program = jax.jit(jp.evaluate).lower(potential, structure, listed).compile()
        size = program.memory_analysis().temp_size_in_bytes
        print(f"{len(atoms)} atoms: {size / 1e6:.0f} MB, {size / len(atoms) / 1e3:.1f} kB an atom", flush=True)


def spread(options):
    import statistics

    import jax

    jax.config.update("jax_enable_x64", True)

    import jaxpot as jp
    from jaxpot.potentials.terms import inner_cutoffs

    posterior = jp.load(options.model, species=options.species)
    one = jp.load(options.model, species=options.species, member=0)
    for atoms in crystals(options.crystal, options.sizes):
        structure = jp.Structure.of(atoms)
        listed = jp.neighbors(structure, one.cutoff, inner=inner_cutoffs(one))
        works = {
            "one network": partial(jp.evaluate, one, structure, listed),
            "the mean": partial(jp.evaluate, posterior.potential, structure, listed),
            "deviations": partial(jp.std, posterior, structure),
        }
        times = {name: [] for name in works}
        for round_ in range(ROUNDS + 1):
            for name, work in works.items():
                start = time.process_time()
                jax.block_until_ready(work())
                if round_:
                    times[name].append(time.process_time() - start)
        first = statistics.median(times["one network"])
        for name, own in times.items():
            median = statistics.median(own)
            print(f"{len(atoms)} atoms, {name}: {1e3 * median / len(atoms):.4g} ms an atom, {median / first:.2f} x",
                  flush=True)


def parity(options):
    """Largest deviations from the references of each published model in a folder."""
    import jax

    jax.config.update("jax_enable_x64", True)

    import numpy as np

    import jaxpot as jp

    for reference in sorted(options.model.glob("*/reference*.json")):
        folder, modality = reference.parent, reference.stem.partition("_")[2]
        paths = [p for p in folder.iterdir() if p.suffix in (".pth", ".nqx", ".tar")] or [folder]
        try:
            potential = jp.load(paths[0], **({"modality": modality} if modality else {}))
        except jp.JaxpotError as error:
            print(f"{folder.name}: not read: {error}")
            continue
        worst = np.zeros(3)
        table = json.loads(reference.read_text())
        for where, expected in zip(table["structures"], table["results"], strict=True):
            structure = jp.Structure(where["positions"], where["cell"], where["numbers"], pbc=where["pbc"])
            values = jp.evaluate(getattr(potential, "potential", potential), structure)
            stress = expected.get("stress")
            off = (
                abs(float(values.energy) - expected["energy"]),
                np.abs(np.asarray(values.forces) - expected["forces"]).max(),
                0.0 if stress is None else np.abs(np.asarray(values.stress) - stress).max(),
            )
            worst = np.maximum(worst, off)
        print(f"{folder.name} {modality}: {len(table['structures'])} structures; energies {worst[0]:.1e} eV, forces "
              f"{worst[1]:.1e} eV/A, stresses {worst[2]:.1e} eV/A^3", flush=True)


def make_peer(name, folder):
    """An environment of a peer."""
    import venv

    packages, _ = PEERS[name]
    place = folder / name
    venv.create(place, with_pip=True)
    for package in packages:  # torch first, so that nobody asks for another one
        subprocess.run([place / "bin" / "python", "-m", "pip", "install", "-q", package], check=True)
    print(place / "bin" / "python")


def add_peer(parser):
    parser.add_argument("--peer", help="python of the peer's environment")
    parser.add_argument("--kind", choices=PEERS, default="sevenn")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    peer = commands.add_parser("peer", help="make an environment of a peer")
    peer.add_argument("name", choices=PEERS)
    peer.add_argument("--into", type=Path, required=True)
    served = commands.add_parser("serve", help="the peer's side of `speed`")
    served.add_argument("kind", choices=PEERS)
    served.add_argument("path")
    served.add_argument("--member", type=int)
    served.add_argument("--single", action="store_true")
    for name in ("speed", "memory", "parity", "phonons", "spread"):
        one = commands.add_parser(name)
        one.add_argument("model", type=Path)
        if name == "parity":
            continue
        known = ("Si", "MgO", "SrTiO3") if name == "phonons" else ("Si", "MgO", "H2O")
        one.add_argument("--crystal", choices=known, default="H2O" if name == "spread" else "Si")
        one.add_argument("--species", nargs="+", help="elements to read of the model (ANI)")
        if name == "spread":
            one.add_argument("--sizes", type=int, nargs="+", default=[4, 7])
            continue
        one.add_argument("--modality")
        if name == "phonons":
            one.add_argument("--first", type=int, default=4, help="size of the first supercell of the peer")
            one.add_argument("--most", type=int, default=700, help="atoms of its largest")
            add_peer(one)
            continue
        one.add_argument("--sizes", type=int, nargs="+", default=[2, 3, 4] if name == "speed" else [3, 5, 10])
        one.add_argument("--double", dest="single", action="store_false", help="in double precision")
        one.add_argument("--member", type=int, help="number of the one network of an ensemble")
        if name == "speed":
            one.add_argument("--rounds", type=int, default=ROUNDS)
            one.add_argument("--peer-most", type=int, default=10**9, help="atoms of the largest crystal for the peer")
            one.add_argument("--wait-for", type=Path, help="compile, but do not measure until this file exists")
            add_peer(one)
    options = parser.parse_args()
    if options.what == "peer":
        make_peer(options.name, options.into)
    elif options.what == "serve":
        serve(options.kind, options.path, options.member, options.single)
    else:
        works = {"speed": speed, "memory": memory, "parity": parity, "phonons": phonons, "spread": spread}
        works[options.what](options)


if __name__ == "__main__":
    main()
