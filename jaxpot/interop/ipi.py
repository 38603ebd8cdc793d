"""The door to i-PI: a client of its socket protocol, which ASE's `SocketIOCalculator` and others speak, too.

The server moves the atoms, the client computes. Each message begins with a word in 12 bytes; numbers are int32 and
float64 in the byte order of the machine, in atomic units:

    server                                              client
    STATUS                                              NEEDINIT, READY or HAVEDATA
    INIT      number of the replica, length, text
    POSDATA   cell^T, inverse^T, n, positions
    GETFORCE                                            FORCEREADY energy, n, forces, virial^T, length, extra
    EXIT

with lattice vectors as the rows of the cell, so that they are its columns on the wire.

References:
    V. Kapil et al., Comput. Phys. Commun. 236, 214 (2019).
"""

import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxpot.errors import DataError, PeerError
from jaxpot.interop.moving import MovingAtoms
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import StructureLike
from jaxpot.uncertainty import std

# Of a server: 1 bohr in A, 1 hartree in eV.
CONSTANTS = {
    "ipi": (1.0 / 1.8897261, 1.0 / 0.036749326),
    "ase": (0.5291772105638411, 27.211386024367243),
    "codata": (0.529177210903, 27.211386245988),
}
_HEADER = 12  # bytes
_PREFIX = "/tmp/ipi_"  # noqa: S108  # where i-PI and ASE have their sockets
_LONGEST_TEXT = 1 << 20  # bytes, of INIT
_AGAIN = 0.1  # s, between two attempts to connect
_PATIENCE = 30.0  # s, for an answer of the network


@dataclass(frozen=True)
class Served:
    """Summary of a connection: result of `serve`.

    Attributes:
        steps: how many times forces were computed.
        seconds: from the connection to its end.
        lists: how many neighbour lists were built.
        end: "exit" if the server said so, "closed" if it closed the connection between two steps, as ASE's does.
    """

    steps: int
    seconds: float
    lists: int
    end: str


def serve(
    potential: Potential | Posterior,
    structure: StructureLike,
    address: str,
    *,
    constants: str = "ipi",
    skin: float = 1.0,
    wait: float = 0.0,
    progress: Callable[[str], object] | None = None,
) -> Served:
    """Serve energies, forces and virials to i-PI, or another server of its protocol, until it ends.

    virial = -dE/dstrain = -V stress,  (3, 3)

    with dE/dstrain of structures that are not periodic along all axes, too. Nothing is compiled anew and no neighbour
    list built while atoms move by less than half the skin.

    The protocol has atomic units, and servers differ in what these are, from the eighth digit on: for i-PI an angstrom
    is 1.8897261 bohr and an electronvolt 0.036749326 hartree, ASE has CODATA 2014. With the constants of the server,
    positions in A are those in its files to rounding. Forces are converted by energy over length in all three, so that
    energies are conserved; i-PI's own 0.019446904 for eV/A is that to eight digits.

    Of a `Posterior` the extra string of each step is the JSON document {"energy_std_eV": ...}, the epistemic standard
    deviation of the energy in eV (`jp.std`), which costs more than the forces. i-PI writes it where its output has
    `<trajectory extra_type='energy_std_eV'> extras </trajectory>`.

    Args:
        potential: any `Potential`, or a `Posterior`.
        structure: `Structure` or `ase.Atoms` with the atoms in the server's order: elements, pbc and data. Positions
            and cell come from the server, which has masses of its own.
        address: "HOST:PORT" of a TCP socket, or "unix:NAME" of the file /tmp/ipi_NAME (a NAME with / is a path).
        constants: "ipi", "ase" or "codata" (CODATA 2018): bohr and hartree as the server has them.
        skin: A, of the neighbour list.
        wait: s, how long to try to reach a server that is not there yet.
        progress: called with a sentence once the server is there.

    Returns:
        `Served`.

    Raises:
        DataError: an address that is none, other constants, a number of atoms other than the structure's, positions or
            a cell that are not finite.
        GeometryError: a periodic cell without volume, or atoms at which there is no finite energy.
        PeerError: no server there, or one that goes away within a step or sends what is not in the protocol.
    """
    if constants not in CONSTANTS:
        raise DataError(f"constants: expected one of {', '.join(CONSTANTS)}, got {constants!r}")
    family, place = _parsed(address)
    posterior = potential if isinstance(potential, Posterior) else None
    atoms = MovingAtoms(potential.potential if isinstance(potential, Posterior) else potential, structure, skin)
    with _connected(family, place, address, wait) as peer:
        if progress is not None:
            progress(f"connected to {address}")
        begin = time.monotonic()
        steps, end = _Session(_Wire(peer, address), atoms, posterior, *CONSTANTS[constants]).run()
        return Served(steps, time.monotonic() - begin, atoms.lists, end)


class _Session:
    """One connection: answers messages until the server ends it."""

    def __init__(self, wire, atoms, posterior, bohr, hartree):
        self.wire, self.atoms, self.posterior = wire, atoms, posterior
        self.bohr, self.hartree = bohr, hartree
        self.state, self.reply, self.steps = "NEEDINIT", b"", 0

    def run(self):
        """(steps, how it ended)."""
        answers = {"STATUS": self._status, "INIT": self._init, "POSDATA": self._positions, "GETFORCE": self._forces}
        while True:
            word = self.wire.word()
            if word is None and self.state == "HAVEDATA":
                raise self.wire.error("went away before it asked for the forces that it had sent positions for")
            if word in ("EXIT", None):
                return self.steps, "closed" if word is None else "exit"
            if word not in answers:
                raise self.wire.error(f"sent {word!r}, expected EXIT, {', '.join(answers)}: is it a server of i-PI?")
            answers[word]()

    def _status(self):
        self.wire.send_status(_header(self.state))

    def _init(self):
        _, length = self.wire.numbers(2, np.int32).tolist()
        if not 0 <= length <= _LONGEST_TEXT:
            raise self.wire.error(f"sent INIT with a text of {length} bytes, expected 0 to {_LONGEST_TEXT}")
        batch = re.search(rb"batch_size\s*:\s*(\d+)", self.wire.bytes(length))
        if batch is not None and int(batch[1]) > 1:
            raise self.wire.error(f"sends {int(batch[1])} structures at once: set batch_size of its ffsocket to 1")
        self.state = "READY"

    def _positions(self):
        cell = self.wire.numbers(18, np.float64)[:9].reshape(3, 3).T * self.bohr  # the inverse is of no use
        (count,) = self.wire.numbers(1, np.int32).tolist()
        n = len(self.atoms.structure)
        if count != n:
            raise DataError(
                f"the server at {self.wire.address} has {count} atoms, and the structure has {n}: give both the same "
                "atoms, in the same order"
            )
        positions = self.wire.numbers(3 * n, np.float64).reshape(n, 3) * self.bohr
        result = self.atoms.evaluate(positions, cell)
        virial = -np.asarray(result.stress, np.float64) / self.hartree
        forces = np.asarray(result.forces, np.float64) * (self.bohr / self.hartree)
        extra = self._extra(positions, cell)
        self.reply = b"".join((
            _header("FORCEREADY"),
            np.float64(float(result.energy) / self.hartree).tobytes(),
            np.int32(n).tobytes(),
            forces.tobytes(),
            np.ascontiguousarray(virial.T).tobytes(),
            np.int32(len(extra)).tobytes(),
            extra,
        ))
        self.state, self.steps = "HAVEDATA", self.steps + 1

    def _extra(self, positions, cell):
        """A space where there is nothing to say: some servers wait for ever for no bytes at all."""
        if self.posterior is None:
            return b" "
        deviation = float(std(self.posterior, self.atoms.at(positions, cell)).epistemic.energy)
        return json.dumps({"energy_std_eV": deviation if np.isfinite(deviation) else None}).encode()

    def _forces(self):
        if self.state != "HAVEDATA":
            raise self.wire.error("sent GETFORCE before POSDATA: there are no forces yet")
        self.wire.send(self.reply)
        self.state = "READY"


class _Wire:
    """A socket of which whole messages are read: all of it, or a `PeerError`."""

    def __init__(self, peer, address):
        self.peer, self.address = peer, address

    def error(self, what):
        return PeerError(f"the server at {self.address} {what}")

    def bytes(self, count, may_end=False):
        """So many bytes; None where the connection ends before the first, and may."""
        buffer = bytearray(count)
        view, have = memoryview(buffer), 0
        while have < count:
            try:
                self._acknowledge_at_once()
                more = self.peer.recv_into(view[have:])
            except OSError as error:
                if may_end and not have and isinstance(error, ConnectionError):
                    return None
                raise self.error(f"went away in the middle of a message ({error.strerror or error})") from error
            if not more and may_end and not have:
                return None
            if not more:
                raise self.error(f"went away in the middle of a message: {have} of {count} bytes came")
            have += more
        return buffer

    def _acknowledge_at_once(self):
        """Linux would wait 40 ms, and a server that sends several short pieces, as ASE's does, waits for it.

        The kernel forgets the wish now and then, so it is said each time.
        """
        if self.peer.family != socket.AF_UNIX and hasattr(socket, "TCP_QUICKACK"):
            self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def word(self):
        """The word that begins a message; None where the connection has been closed."""
        header = self.bytes(_HEADER, may_end=True)
        return None if header is None else header.decode("latin-1").strip()

    def numbers(self, count, dtype):
        return np.frombuffer(self.bytes(count * np.dtype(dtype).itemsize), dtype)

    def send(self, message):
        try:
            self.peer.sendall(message)
        except OSError as error:
            raise self.error(f"went away while forces were sent ({error.strerror or error})") from error

    def send_status(self, message):
        """A server may leave without waiting for this answer; then its EXIT, or the end, is what is read next."""
        try:
            self.peer.sendall(message)
        except ConnectionError:
            return


def _header(word):
    return word.encode().ljust(_HEADER)


def _parsed(address):
    """Family and place of a socket for an address."""
    kind, _, name = address.partition(":") if isinstance(address, str) else ("", "", "")
    if kind == "unix" and name:
        return socket.AF_UNIX, name if "/" in name else _PREFIX + name
    host, colon, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not colon or kind == "unix":
        raise DataError(f"address: expected HOST:PORT or unix:NAME, got {address!r}")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise DataError(f"address: expected HOST:PORT with a port from 1 to 65535, got {address!r}")
    return socket.AF_INET, (host.strip("[]"), int(port))


def _connected(family, place, address, wait):
    """A socket with a server at its other end."""
    end = time.monotonic() + wait
    while True:
        try:
            if family == socket.AF_INET:
                peer = socket.create_connection(place, _PATIENCE)  # IPv6, too
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.settimeout(None)
                return peer
            peer = socket.socket(family)
            peer.connect(place)
            return peer
        except OSError as error:
            awaited = isinstance(error, FileNotFoundError | ConnectionRefusedError)
            if not awaited or time.monotonic() >= end:
                reason = error.strerror or error
                raise PeerError(f"no server at {address} ({reason}): start it first, or wait for it longer") from error
        time.sleep(_AGAIN)
