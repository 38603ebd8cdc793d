"""`jp.serve` and `jaxpot serve`: i-PI's protocol byte by byte, ASE at both ends, and every way in which a server fails."""

import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import ase.units
import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.socketio import SocketClient, SocketIOCalculator
from ase.io import write
from models import MODELS
from tiers import thorough_but

import jaxpot as jp
from jaxpot.cli import cache
from jaxpot.cli.main import main
from jaxpot.errors import DataError, GeometryError, PeerError
from jaxpot.interop.ipi import CONSTANTS
from jaxpot.interop.moving import MovingAtoms
from jaxpot.observables import evaluate_by_strain

SILICON = jp.potentials.StillingerWeber.silicon()
BOHR, HARTREE = CONSTANTS["ipi"]
STRESS = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
_names = itertools.count()


def crystal(repeat=1, pbc=True):
    """Triclinic, left as it is by no rotation, with forces and all six stresses."""
    rng = np.random.default_rng(5)
    atoms = bulk("Si", cubic=True).repeat(repeat)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.06 * rng.normal(size=(3, 3))), scale_atoms=True)
    atoms.rattle(0.08, seed=1)
    atoms.pbc = pbc
    return atoms


def close(one, other, relative=1e-12):
    other = np.asarray(other)
    assert np.abs(np.asarray(one) - other).max() <= relative * np.abs(other).max()


class Server:
    """The other end, for one connection: it says what it is told to."""

    def __init__(self, family=socket.AF_INET, place=("127.0.0.1", 0)):
        self.listening = socket.socket(family)
        self.listening.bind(place)
        self.listening.listen(8)
        self.listening.settimeout(60)
        where = self.listening.getsockname()
        self.address = f"unix:{where}" if isinstance(where, str) else f"127.0.0.1:{where[1]}"

    def accept(self):
        peer, _ = self.listening.accept()
        peer.settimeout(60)
        return Peer(peer)


class Peer:
    """One client, as a server sees it."""

    def __init__(self, peer):
        self.peer = peer

    def read(self, count):
        parts = b""
        while len(parts) < count:
            part = self.peer.recv(count - len(parts))
            assert part, "the client went away"
            parts += part
        return parts

    def word(self):
        return self.read(12).decode()

    def numbers(self, count, dtype=np.float64):
        return np.frombuffer(self.read(count * np.dtype(dtype).itemsize), dtype)

    def say(self, word, *arrays):
        self.peer.sendall(b"".join([word.ljust(12).encode(), *(np.asarray(array).tobytes() for array in arrays)]))

    def ask(self):
        self.say("STATUS")
        return self.word()

    def init(self, text=b"", replica=0):
        self.say("INIT", np.int32(replica), np.int32(len(text)))
        self.peer.sendall(text)

    def place(self, positions, cell, count=None, bohr=BOHR):
        cell = np.asarray(cell) / bohr
        inverse = np.linalg.pinv(cell)
        count = len(positions) if count is None else count
        self.say("POSDATA", np.ascontiguousarray(cell.T), inverse.T.copy(), np.int32(count), positions / bohr)

    def forces(self):
        self.say("GETFORCE")
        assert self.word() == "FORCEREADY  "
        energy, count = self.numbers(1)[0], self.numbers(1, np.int32)[0]
        forces, virial = self.numbers(3 * count).reshape(-1, 3), self.numbers(9).reshape(3, 3)
        return energy, forces, virial, self.read(self.numbers(1, np.int32)[0])

    def step(self, atoms):
        self.place(atoms.positions, atoms.cell)
        assert self.ask() == "HAVEDATA    "
        return self.forces()

    def exit(self):
        self.say("EXIT")
        self.peer.close()


@contextlib.contextmanager
def serving(*rest, server=None, **options):
    """A peer of a client that runs beside, in a thread; (peer, what it returns or raises)."""
    server, results = server or Server(), []

    def run():
        try:
            results.append(jp.serve(*rest, server.address, **options))
        except jp.JaxpotError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    peer = server.accept()
    try:
        yield peer, results
    finally:
        peer.peer.close()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Compiled before threads wait for it with a clock."""
    jp.evaluate(SILICON, crystal())


# The protocol


def test_word_by_word():
    atoms = crystal()
    expected = jp.evaluate(SILICON, atoms)
    with serving(SILICON, atoms) as (peer, results):
        assert peer.ask() == "NEEDINIT    "
        peer.init(b"{}", replica=3)
        assert peer.ask() == "READY       "
        energy, forces, virial, extra = peer.step(atoms)
        assert peer.ask() == "READY       "
        peer.exit()
    close(energy, float(expected.energy) / HARTREE)
    close(forces, np.asarray(expected.forces) * BOHR / HARTREE)
    close(virial, -atoms.get_volume() * np.asarray(expected.stress) / HARTREE)
    assert not extra.strip() and extra, "some servers wait for ever for no bytes"
    (served,) = results
    assert (served.steps, served.lists, served.end) == (1, 1, "exit") and served.seconds > 0


def test_a_server_that_does_not_know_init_is_served():
    with serving(SILICON, crystal()) as (peer, results):
        peer.step(crystal())
        peer.exit()
    assert results[0].steps == 1


def test_unix_sockets_have_i_pi_s_names(monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="jx"))
    try:
        monkeypatch.setattr("jaxpot.interop.ipi._PREFIX", f"{folder}/ipi_")
        with serving(SILICON, crystal(), server=(server := Server(socket.AF_UNIX, str(folder / "ipi_one")))) as (peer, _):
            one = peer.step(crystal())
            peer.exit()
        server.address = "unix:one"
        with serving(SILICON, crystal(), server=server) as (peer, _):
            close(peer.step(crystal())[1], one[1])
            peer.exit()
    finally:
        shutil.rmtree(folder)
    monkeypatch.undo()
    with pytest.raises(PeerError, match="unix:nobody-is-there"):
        jp.serve(SILICON, crystal(), "unix:nobody-is-there")


@pytest.mark.parametrize("constants", CONSTANTS)
def test_constants_are_those_of_the_server(constants):
    atoms = crystal()
    bohr, hartree = CONSTANTS[constants]
    with serving(SILICON, atoms, constants=constants) as (peer, _):
        peer.place(atoms.positions, atoms.cell, bohr=bohr)
        energy, forces, *_ = peer.forces()
        peer.exit()
    close(energy, float(jp.energy(SILICON, atoms)) / hartree)
    close(forces, np.asarray(jp.forces(SILICON, atoms)) * bohr / hartree)
    assert (ase.units.Bohr, ase.units.Hartree) == pytest.approx(CONSTANTS["ase"], rel=1e-15)


def test_the_virial_of_a_slab_is_minus_the_derivative_by_strain():
    atoms, step = crystal(pbc=(True, True, False)), 1e-5
    with serving(SILICON, atoms) as (peer, _):
        virial = peer.step(atoms)[2] * HARTREE
        difference = np.zeros((3, 3))
        for a, b in np.ndindex(3, 3):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * step
            strain[b, a] += 0.5 * step
            energies = []
            for sign in (1.0, -1.0):
                strained = atoms.copy()
                strained.set_cell(atoms.cell @ (np.eye(3) + sign * strain), scale_atoms=True)
                energies.append(peer.step(strained)[0] * HARTREE)
            difference[a, b] = -(energies[0] - energies[1]) / (2.0 * step)
        peer.exit()
    np.testing.assert_allclose(virial, difference, atol=1e-6 * np.abs(virial).max())


def test_a_molecule_needs_no_cell():
    atoms = Atoms("Si3", [[0, 0, 0], [2.3, 0, 0], [0.3, 2.2, 0.1]])
    with serving(SILICON, atoms) as (peer, _):
        energy, forces, virial, _ = peer.step(atoms)
        peer.exit()
    close(energy * HARTREE, float(jp.energy(SILICON, atoms)))
    close(virial * HARTREE, np.einsum("ia,ib->ab", atoms.positions, forces * HARTREE / BOHR), 1e-9)


def test_no_list_and_no_program_in_each_step():
    """Lists are made anew where atoms go far, wherever they are, and numbers stay right."""
    atoms, rng = crystal(2), np.random.default_rng(0)
    events = []
    with serving(SILICON, atoms) as (peer, results):
        peer.step(atoms)
        jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: events.append(event))
        for k in range(6):
            atoms.positions += 0.01 * rng.normal(size=atoms.positions.shape) + 0.5
            if k == 3:
                atoms.positions[0] += 40.0 * atoms.cell[0] + 0.4
            energy, forces, *_ = peer.step(atoms)
        compiled = [event for event in events if event.endswith("backend_compile_duration")]
        close(energy * HARTREE, float(jp.energy(SILICON, atoms)))
        close(forces * HARTREE / BOHR, jp.forces(SILICON, atoms), 1e-11)
        peer.exit()
    assert not compiled
    assert results[0].steps == 7 and results[0].lists == 2


FIRST = ("gap, sum for two elements", "two hops, a molecule", "ions")
SECOND = ("a slab", "eam, two elements", "nequip")


@pytest.mark.parametrize("name", thorough_but(FIRST, MODELS, [name for name in MODELS if name not in FIRST + SECOND]))
def test_every_potential_moves(name):
    """In a cell that shears, by little and by much, with the data that it reads; strain derivatives, too."""
    make, structure, *_ = MODELS[name]
    potential, rng = make(), np.random.default_rng(4)
    moving, start = MovingAtoms(potential, structure), np.asarray(structure.positions)
    for size in (0.0, 0.02, 0.3):
        deformation = np.eye(3) + 0.1 * size * rng.normal(size=(3, 3))
        positions = (start + size * rng.uniform(-1.0, 1.0, start.shape)) @ deformation
        cell = np.asarray(structure.cell) @ deformation
        result, expected = moving.evaluate(positions, cell), evaluate_by_strain(potential, moving.at(positions, cell))
        scale = max(1.0, np.abs(expected.forces).max())
        assert abs(float(result.energy - expected.energy)) < 1e-12 * max(scale, abs(float(expected.energy)))
        np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=2e-12 * scale)
        np.testing.assert_allclose(result.stress, expected.stress, rtol=0, atol=1e-11 * scale)


def test_two_clients_at_one_server():
    one, other, server = crystal(), crystal(), Server()
    other.rattle(0.1, seed=9)
    with serving(SILICON, one, server=server) as (first, results), serving(SILICON, one, server=server) as (second, more):
        first.place(one.positions, one.cell)
        second.place(other.positions, other.cell)
        forces = [first.forces()[1], second.forces()[1]]
        first.exit()
        second.exit()
    for atoms, force in zip((one, other), forces, strict=True):
        close(force * HARTREE / BOHR, jp.forces(SILICON, atoms))
    assert results[0].steps == more[0].steps == 1


def test_a_posterior_says_how_certain_its_energy_is():
    atoms = crystal()
    posterior = jp.Posterior.of(SILICON, {"epsilon": 0.01})
    with serving(posterior, atoms) as (peer, _):
        energy, _, _, extra = peer.step(atoms)
        peer.exit()
    close(energy * HARTREE, float(jp.energy(SILICON, atoms)))
    close(json.loads(extra)["energy_std_eV"], float(jp.std(posterior, atoms).epistemic.energy), 1e-9)
    assert json.loads(extra)["energy_std_eV"] > 0.1


def test_an_exit_behind_a_status_that_nobody_waits_for(monkeypatch):
    """The answer cannot be sent, and what says that the server has ended well is still to be read."""
    ours, theirs = socket.socketpair()
    theirs.sendall(b"STATUS      EXIT        ")
    theirs.close()
    monkeypatch.setattr("jaxpot.interop.ipi._connected", lambda *rest: ours)
    assert jp.serve(SILICON, crystal(), "unix:pair").end == "exit"


def test_a_server_that_closes_between_two_steps_has_ended():
    with serving(SILICON, crystal()) as (peer, results):
        peer.step(crystal())
    assert results[0].end == "closed" and results[0].steps == 1


# ASE at the other end


def test_under_the_server_of_ase():
    atoms, name = crystal(), f"jaxpot-test-{os.getpid()}-{next(_names)}"
    with SocketIOCalculator(unixsocket=name, timeout=60) as calculator:
        results = []
        thread = threading.Thread(
            target=lambda: results.append(jp.serve(SILICON, atoms.copy(), f"unix:{name}", constants="ase"))
        )
        thread.start()
        atoms.calc = calculator
        for seed in range(3):
            atoms.rattle(0.05, seed=seed)
            atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * np.random.default_rng(seed).normal(size=(3, 3))))
            expected = jp.evaluate(SILICON, atoms)
            close(atoms.get_potential_energy(), float(expected.energy))
            close(atoms.get_forces(), expected.forces)
            close(atoms.get_stress(), np.asarray(expected.stress)[STRESS])
    thread.join(60)
    assert results[0].steps == 3 and results[0].end == "closed"


def test_our_calculator_in_the_client_of_ase():
    atoms, server, bohr = crystal(), Server(), ase.units.Bohr

    def client():
        moving = atoms.copy()
        moving.calc = jp.ase_calculator(SILICON)
        SocketClient(port=int(server.address.split(":")[1]), timeout=60).run(moving, use_stress=True)

    thread = threading.Thread(target=client)
    thread.start()
    peer = server.accept()
    peer.place(atoms.positions, atoms.cell, bohr=bohr)
    energy, forces, virial, _ = peer.forces()
    peer.exit()
    thread.join(60)
    with serving(SILICON, atoms, constants="ase") as (peer, _):
        peer.place(atoms.positions, atoms.cell, bohr=bohr)
        ours = peer.forces()
        peer.exit()
    for one, other in zip((energy, forces, virial), ours, strict=False):
        close(one, other)


# What fails


def nothing(peer):
    peer.peer.close()


def garbage(peer):
    peer.peer.sendall(b"GET / HTTP/1.1\r\n\r\n")


def half_a_word(peer):
    peer.peer.sendall(b"POSD")
    peer.peer.close()


def half_of_the_positions(peer):
    atoms = crystal()
    peer.place(atoms.positions[:4], atoms.cell, count=len(atoms))
    peer.peer.close()


def gone_before_the_forces(peer):
    peer.place(crystal().positions, crystal().cell)
    assert peer.ask() == "HAVEDATA    "
    peer.peer.close()


def too_few_atoms(peer):
    peer.place(crystal().positions[:7], crystal().cell)


def absurdly_many_atoms(peer):
    peer.place(crystal().positions, crystal().cell, count=2**31 - 1)


def forces_of_nothing(peer):
    peer.say("GETFORCE")


def text_of_negative_length(peer):
    peer.say("INIT", np.int32(0), np.int32(-4))


def batches(peer):
    peer.init(b"batch_size: 4")


def no_numbers(peer):
    peer.place(np.full((8, 3), np.nan), crystal().cell)


def flat(peer):
    peer.place(crystal().positions, np.ones((3, 3)))


def coincident(peer):
    peer.place(np.zeros((8, 3)), crystal().cell)


FAILURES = {
    garbage: (PeerError, "sent 'GET / HTTP/1'"),
    half_a_word: (PeerError, "in the middle of a message"),
    half_of_the_positions: (PeerError, "in the middle of a message"),
    gone_before_the_forces: (PeerError, "before it asked for the forces that it had"),
    too_few_atoms: (DataError, "has 7 atoms, and the structure has 8"),
    absurdly_many_atoms: (DataError, "has 2147483647 atoms"),
    forces_of_nothing: (PeerError, "GETFORCE before POSDATA"),
    text_of_negative_length: (PeerError, "a text of -4 bytes"),
    batches: (PeerError, "batch_size"),
    no_numbers: (DataError, "NaN"),
    flat: (GeometryError, "no volume"),
    coincident: (GeometryError, "apart"),
}


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`jaxpot serve sw-silicon` of a file, with a server: (exit code, standard output, standard error)."""
    monkeypatch.setattr(cache, "use_cache", lambda: None)
    monkeypatch.setattr("jaxpot.cli.main.use_cache", lambda: None)
    write(tmp_path / "start.xyz", crystal())

    def run(act, *flags):
        server, failed = Server(), []

        def answer():
            peer = server.accept()
            try:
                act(peer)
                with contextlib.suppress(OSError):
                    peer.peer.recv(1)  # until the client has gone
            except (AssertionError, OSError) as error:
                failed.append(error)
            peer.peer.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        code = main(["serve", "sw-silicon", str(tmp_path / "start.xyz"), "--socket", server.address, *flags])
        thread.join(60)
        assert not failed
        return code, *capsys.readouterr()

    run.file, run.capsys = tmp_path / "start.xyz", capsys
    return run


@pytest.mark.parametrize("act", FAILURES, ids=lambda act: act.__name__)
def test_a_server_that_fails_is_one_sentence(command, act):
    kind, words = FAILURES[act]
    code, out, err = command(act, "--quiet", "--json")
    assert code == 2
    assert json.loads(out)["error"]["type"] == kind.__name__
    assert words in err and err.startswith("jaxpot: ") and err.count("\n") == 1


def test_the_command_ends_with_exit(command):
    def act(peer):
        for _ in range(2):
            peer.step(crystal())
        peer.exit()

    code, out, _ = command(act, "--json")
    document = json.loads(out)
    assert code == 0 and document["steps"] == 2 and document["end"] == "exit" and document["atoms"] == 8
    code, out, err = command(act)
    assert code == 0 and out.startswith("2 steps in ") and out.endswith("the server said EXIT\n")
    assert "connected to 127.0.0.1" in err
    code, out, _ = command(nothing)
    assert code == 0 and "0 steps" in out and "closed the connection" in out


def test_the_keyboard_interrupts_a_client_that_waits(command):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread alone")

    def act(peer):
        peer.step(crystal())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    code, _, err = command(act)
    assert code == 130 and err.endswith("jaxpot: interrupted\n")


@pytest.mark.parametrize(("flags", "words"), [
    (["--socket", "localhost:1", "--wait-s", "0"], "no server at localhost:1 (Connection refused)"),
    (["--socket", "no.such.host.invalid:31415"], "no server at no.such.host.invalid:31415"),
    (["--unix", f"jaxpot-nobody-{os.getpid()}", "--wait-s", "0.2"], "No such file"),
    (["--unix", "x" * 200], "too long"),
    (["--socket", "localhost:http"], "a port from 1 to 65535, got 'localhost:http'"),
    (["--socket", "localhost:0"], "a port from 1 to 65535"),
    (["--socket", "localhost:65536"], "a port from 1 to 65535"),
    (["--socket", "localhost"], "expected HOST:PORT or unix:NAME, got 'localhost'"),
    (["--socket", ":31415"], "expected HOST:PORT"),
    (["--unix", ""], "expected HOST:PORT or unix:NAME, got 'unix:'"),
    ([], "one of the arguments --socket --unix is required"),
    (["--socket", "localhost:31415", "--unix", "driver"], "not allowed with"),
    (["--unix", "driver", "--wait-s", "soon"], "expected a number of seconds, not negative, got 'soon'"),
    (["--unix", "driver", "--wait-s", "-1"], "expected a number of seconds"),
    (["--unix", "driver", "--skin", "-1"], "skin: expected a length"),
    (["--unix", "driver", "--std"], "--std: error bars are known of a .posterior"),
])
def test_arguments_that_cannot_be(command, flags, words):
    code = main(["serve", "sw-silicon", str(command.file), *flags, "--quiet"])
    _, err = command.capsys.readouterr()
    assert code == 2 and words in err and err.startswith("jaxpot: ") and err.count("\n") == 1


def test_arguments_of_the_function():
    with pytest.raises(DataError, match="constants: expected one of ipi, ase, codata, got 'si'"):
        jp.serve(SILICON, crystal(), "unix:x", constants="si")
    with pytest.raises(DataError, match="HOST:PORT or unix:NAME, got 31415"):
        jp.serve(SILICON, crystal(), 31415)
    with pytest.raises(DataError, match="expected a jaxpot potential"):
        jp.serve(crystal(), SILICON, "unix:x")
    with pytest.raises(DataError, match="at least one atom"):
        MovingAtoms(SILICON, Atoms())
    with pytest.raises(DataError, match="knows Si"):
        MovingAtoms(SILICON, bulk("C")).evaluate(bulk("C").positions, bulk("C").cell.array)


def test_a_client_waits_for_its_server():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        place = reserved.getsockname()
    servers = []

    def late():
        servers.append(server := Server(place=place))
        server.accept().exit()

    timer = threading.Timer(0.4, late)
    timer.start()
    assert jp.serve(SILICON, crystal(), f"127.0.0.1:{place[1]}", wait=30.0).end == "exit"
    timer.join()


# i-PI itself

INPUT = """<simulation verbosity='low' floatformat='%25.17e'>
  <output prefix='run'>
    <properties stride='1' filename='out'> [ step, conserved, {forces} ] </properties>
    <trajectory stride='1' filename='std' extra_type='energy_std_eV'> extras </trajectory>
  </output>
  <total_steps> 300 </total_steps>
  <ffsocket name='client' mode='inet'>
    <address> 127.0.0.1 </address> <port> {port} </port>
  </ffsocket>
  <system>
    <initialize nbeads='8'> <file mode='xyz'> start.xyz </file> </initialize>
    <forces> <force forcefield='client'/> </forces>
    <ensemble> <temperature units='kelvin'> 300 </temperature> </ensemble>
    <motion mode='dynamics'>
      <dynamics mode='nve'> <timestep units='femtosecond'> 0.1 </timestep> </dynamics>
    </motion>
  </system>
</simulation>
"""
RUN = """
from ipi.engine.simulation import Simulation
from ipi.utils.softexit import softexit
simulation = Simulation.load_from_xml(open("input.xml"))
simulation.run()
softexit.trigger(status="success", message="done")
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ipi") is None, reason="i-PI (`pip install ipi`) cannot be imported")
def test_eight_clients_of_i_pi(tmp_path):
    """A path integral of 8 beads: energy is conserved, forces are ours, and error bars arrive."""
    atoms = crystal()
    turned, _ = atoms.cell.standard_form()
    atoms.set_cell(np.round(turned.array, 12), scale_atoms=True)  # as it is written
    rows = "".join(f"Si {x:.12f} {y:.12f} {z:.12f}\n" for x, y, z in atoms.positions)
    head = " ".join(f"{x:.12f}" for x in atoms.cell.array.T.ravel())
    (tmp_path / "start.xyz").write_text(f"8\n# CELL(H): {head} cell{{angstrom}} positions{{angstrom}}\n{rows}")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    watched = ", ".join(f"atom_{kind}(atom={k};bead=0)" for kind in "xf" for k in range(8))
    (tmp_path / "input.xml").write_text(INPUT.format(port=port, forces=watched))
    server = subprocess.Popen([sys.executable, "-c", RUN], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    posterior, results = jp.Posterior.of(SILICON, {"epsilon": 0.01}), []

    def client():
        results.append(jp.serve(posterior, atoms, f"127.0.0.1:{port}", wait=60.0))

    threads = [threading.Thread(target=client) for _ in range(8)]
    try:
        for thread in threads:
            thread.start()
        said = server.communicate(timeout=300)[0].decode()
    finally:
        server.kill()
    for thread in threads:
        thread.join(60)
    assert server.returncode == 0, said
    assert len(results) == 8 and sum(one.steps for one in results) == 8 * 301
    assert min(one.steps for one in results) > 0
    table = np.loadtxt(tmp_path / "run.out")
    assert np.ptp(table[:, 1]) < 1e-5  # hartree; the kinetic energy changes by thousands of that
    places, forces = table[:, 2:].reshape(301, 2, 8, 3).transpose(1, 0, 2, 3)
    for place, force in zip(places[::50], forces[::50], strict=True):
        moved = atoms.copy()
        moved.positions = place * BOHR
        close(force * HARTREE / BOHR, jp.forces(SILICON, moved))
    bars = np.loadtxt(tmp_path / "run.std_0")
    assert (bars > 0.1).all()
