"""Files of structures and of training data that mean harm."""

import bz2
import gzip
import io
import json
import lzma
import re

import ase.build
import ase.io
import numpy as np
from hostile import OUTSIDE, Hostile, Link, Pipe, bomb

COMMENT = 'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0 config_type=a pbc="T T T"'
ATOMS = "Si 0 0 0 0 0 0\nSi 2 2 2 0 0 0\n"
# Formats whose headers declare numbers, as ASE writes them: ending of the name, format.
WRITTEN = (
    ("x.cif", "cif"), ("POSCAR", "vasp"), ("XDATCAR", "vasp-xdatcar"), ("x.json", "json"), ("x.traj", "traj"), ("x.pdb",
    "proteindatabank"), ("x.xsf", "xsf"), ("x.cube", "cube"), ("x.gen", "gen"), ("x.res", "res"), ("x.cfg", "cfg"),
    ("x.gro", "gromacs"), ("x.g96", "gromos"), ("x.con", "eon"), ("x.dump.lammps-data", "lammps-data"), ("x.pwi",
    "espresso-in"), ("x.rmc6f", "rmc6f"), ("x.xsd", "xsd"), ("x.magres", "magres"), ("x.vasp", "vasp"), ("x.struct", "struct"),
    ("x.in", "aims"), ("coord", "turbomole"), ("x.nwi", "nwchem-in"), ("x.com", "gaussian-in"), ("x.ascii", "v-sim"), ("x.f34",
    "crystal"), ("x.xtl", "mustem"), ("x.data", "runnerdata"), ("x.config", "dlp4"),
)


def frame(comment=COMMENT, atoms=ATOMS, count=None):
    """A frame of extended XYZ."""
    count = len(atoms.splitlines()) if count is None else count
    return f"{count}\n{comment}\n{atoms}".encode()


def comments():
    """(what, comment line)."""
    for key in ("__class__", "__reduce__", "__dict__", "calc", "_calc", "info", "arrays", "constraints", "cell", "positions"):
        yield f"key {key}", f"{COMMENT} {key}=x"
    yield "nested JSON", f"{COMMENT} x=_JSON {'[' * 100_000}"
    yield "nested JSON in quotes", f'{COMMENT} x="_JSON {"[" * 100_000}{"]" * 100_000}"'
    yield "JSON array of ASE", f"{COMMENT} " + 'x="_JSON {\\"__ndarray__\\": [[999999999], \\"float64\\", 0]}"'
    yield "JSON object of ASE", f"{COMMENT} " + 'x="_JSON {\\"__ase_objtype__\\": \\"os.system\\"}"'
    yield "deep brackets", f"{COMMENT} x={'[' * 500_000}"
    yield "deep quotes", f"{COMMENT} x={'{' * 300_000}{'}' * 300_000}"
    yield "a quote that does not close", f'{COMMENT} x="{"a " * 500_000}'
    yield "many quotes", f"{COMMENT} {chr(34) * 500_001}"
    yield "many backslashes", f"{COMMENT} x={chr(92) * 500_001}"
    yield "many keys", COMMENT + "".join(f" k{n}=1" for n in range(100_000))
    yield "many equals signs", f"{COMMENT} x{'=' * 500_000}"
    yield "a number of many digits", f"{COMMENT} x={'9' * 1_000_000}"
    yield "a formula of a spreadsheet", COMMENT.replace("config_type=a", "config_type==cmd|'/C calc'!A0")
    yield "a formula in quotes", COMMENT.replace("config_type=a", 'config_type="=HYPERLINK(1)"')
    yield "escapes", COMMENT.replace("config_type=a", "config_type=\x1b]0;x\x07\x1b[2J")
    yield "escapes as a key", f"{COMMENT} \x1b[2J=1 \x1b[2J=2"
    yield "letters from right to left", COMMENT.replace("config_type=a", "config_type=\u202eabc\u2066")
    yield "a lattice of words", COMMENT.replace('5 0 0 0 5', "__import__('os').system('touch canary') 0 0 0 5")
    yield "a lattice of 300,000 numbers", COMMENT.replace("5 0 0 0 5 0 0 0 5", "1 " * 300_000)
    yield "an energy of words", COMMENT.replace("-1.0", "__import__('os').system('touch canary')")
    yield "an energy of many digits", COMMENT.replace("-1.0", "1" * 5000)
    yield "HTML", COMMENT.replace("config_type=a", "config_type=<script>alert(1)</script>")
    yield "a path", COMMENT.replace("config_type=a", f"config_type=../{OUTSIDE}")
    for columns in ("species:S:999999999:pos:R:3", "species:S:1:pos:R:2147483648", "species:S:1:pos:R:-3", "species:S:1:pos:R:0",
                    "species:S:1:pos:R:3:x:O:1", "species:S:1:pos:R:3:x:X:1", "species:S:1:pos:R:3:__class__:R:3",
                    "species:S:1:pos:R:1_0", ":".join(["species:S:1:pos:R:3", *(f"c{k}:R:1" for k in range(100_000))]),
                    "species:S", "", ":::::", "species:S:1:pos:R:3:forces:R:3:forces:R:3"):
        yield f"columns {columns[:40]}", COMMENT.replace("species:S:1:pos:R:3:forces:R:3", columns)


def extended_xyz():
    """(what, bytes)."""
    for what, comment in comments():
        yield what, frame(comment)
    for count in ("999999999", "9" * 5000, "-1", "0", "1e9", "2.0", "0x2", "+2", "\u0662", "2 2", "", "_2", "nan"):
        yield f"declares {count[:12]} atoms", frame(count=count)
    yield "a long line", frame(atoms="Si " + "0 " * 5_000_000 + "\n")
    yield "one line of 20 MB", b"1" * 20_000_000
    yield "zero bytes", bytes(1_000_000)
    yield "zero bytes in a frame", frame().replace(b" ", b"\x00", 5)
    yield "UTF-16", frame().decode().encode("utf-16")
    yield "a byte order mark", b"\xef\xbb\xbf" + frame()
    yield "no UTF-8", frame().replace(b"config_type=a", b"config_type=\xff\xfe")
    yield "carriage returns", frame().replace(b"\n", b"\r")
    yield "escapes as an element", frame(atoms="\x1b[2JSi 0 0 0 0 0 0\n\x9bSi 2 2 2 0 0 0\n")
    yield "a script as an element", frame(atoms="<script> 0 0 0 0 0 0\nSi 2 2 2 0 0 0\n")
    yield "words as numbers", frame(atoms="Si __import__('os') 0 0 0 0 0\nSi 2 2 2 0 0 0\n")
    yield "many empty lines", b"\n" * 5_000_000
    yield "many lines VEC", frame() + b"VEC1 1 0 0\n" * 300_000
    yield "many frames of no atom", b"0\n\n" * 20_000
    yield "a pickle as a comment", frame("cos\nsystem\n(S'touch canary'\ntR.")


def compressed():
    """(name, what, bytes)."""
    frames = bomb(gzip.compress, b"1\n\nH 0 0 0\n", 80)
    for name, compress in (("x.xyz.gz", gzip.compress), ("x.xyz.bz2", bz2.compress), ("x.xyz.xz", lzma.compress)):
        whole = compress(frame())
        yield name, "cut off", whole[:-8]
        yield name, "a byte changed", whole[:30] + bytes([whole[30] ^ 255]) + whole[31:]
        yield name, "not compressed", frame()
        yield name, "twice", compress(whole)
        yield name, "zeros", bomb(compress, b"\0", 300)
    yield "x.xyz.gz", "a bomb of frames", frames
    yield "x.xyz.gz", "a bomb in a bomb", gzip.compress(frames)
    yield "x.traj.gz", "a bomb of frames", frames
    yield "x.cif.gz", "a bomb of lines", gzip.compress(b"data_x\nloop_\n_a\n") + bomb(gzip.compress, b"1\n", 80)
    yield "POSCAR.gz", "a bomb of a line", bomb(gzip.compress, b"1 ", 120)


def json_of_ase():
    """(what, bytes): numbers that ASE's own files declare."""
    rows = {"ids": [1], "nextid": 2}
    huge = {"__ndarray__": [[2_000_000_000], "float64", 0]}
    good = {"numbers": [14], "positions": [[0, 0, 0]], "cell": np.eye(3).tolist(), "pbc": [True] * 3, "unique_id": "x",
            "ctime": 1.0, "mtime": 1.0, "user": "x"}
    for key in ("numbers", "positions", "cell", "energy", "data", "constraints"):
        yield f"{key} of 16 GB", json.dumps(rows | {"1": good | {key: huge}}).encode()
    yield "an array of a type that is none", json.dumps({"__ndarray__": [[1], "O", [1]]}).encode()
    yield "a shape that is none", json.dumps({"__ndarray__": [[-1, -1], "float64", [1]]}).encode()
    yield "deep nesting", b'{"a": ' * 100_000 + b"1" + b"}" * 100_000
    yield "deep lists", b"[" * 1_000_000
    yield "constraints by name", json.dumps(rows | {"1": good | {"constraints": [{"name": "os", "kwargs": {}}]}}).encode()
    yield "a constraint", json.dumps(rows | {"1": good | {"constraints": [
        {"name": "FixAtoms", "kwargs": {"indices": [999999999]}}]}}).encode()
    yield "many ids", json.dumps(rows | {"ids": [1] * 200_000, "1": good}).encode()
    yield "an id that is none", json.dumps(rows | {"ids": ["../x"]}).encode()
    yield "a number of many digits", b'{"ids": [' + b"9" * 5000 + b"]}"
    yield "an object of ASE", json.dumps({"__ase_objtype__": "atoms", "numbers": huge}).encode()
    yield "a calculator", json.dumps(rows | {"1": good | {"calculator": "os.system", "calculator_parameters": {"x": 1}}}).encode()


def ulm(items, tag=b"ASE-Trajectory", count=None, place=48, offsets=None):
    """A file of ASE's `ulm`: JSON texts at places that a header declares."""
    file, places = io.BytesIO(), []
    count = len(items) if count is None else count
    file.write(b"- of Ulm" + tag.ljust(16) + np.array([3, count, place], np.int64).tobytes())
    file.write(bytes(8 * len(items)))
    for text in items:
        places.append(file.tell())
        file.write(np.int64(len(text)).tobytes() + text)
    data = bytearray(file.getvalue())
    for k, at in enumerate(places if offsets is None else offsets):
        data[48 + 8 * k:56 + 8 * k] = np.int64(at).tobytes()
    return bytes(data)


def trajectories():
    """(what, bytes) of .traj."""
    array = lambda shape, kind="float64", at=0: {"ndarray": [shape, kind, at]}  # noqa: E731
    good = {"version": 1, "ase_version": "3.29.0", "pbc": [True] * 3, "numbers.": array([1], "int64", 48),
            "positions.": array([1, 3], "float64", 48), "cell": np.eye(3).tolist()}
    text = lambda **more: json.dumps(good | more).encode()  # noqa: E731
    yield "positions of 24 GB", ulm([text(**{"positions.": array([999_999_999, 3])})])
    yield "positions beyond all numbers", ulm([text(**{"positions.": array([2**62, 3])})])
    yield "numbers of a shape that is none", ulm([text(**{"numbers.": array([-5], "int64")})])
    yield "positions of objects", ulm([text(**{"positions.": array([1, 3], "O")})])
    yield "positions of a type of code", ulm([text(**{"positions.": array([1, 3], "V999999999")})])
    yield "positions at no place", ulm([text(**{"positions.": array([1, 3], "float64", 2**61)})])
    yield "positions at a negative place", ulm([text(**{"positions.": array([1, 3], "float64", -8)})])
    yield "info of 16 GB", ulm([text(info={"__ndarray__": [[2_000_000_000], "float64", 0]})])
    yield "constraints as code", ulm([text(constraints='[{"name": "__import__", "kwargs": {"x": "os"}}]')])
    yield "constraints that nest", ulm([text(constraints="[" * 100_000)])
    yield "constraints of 16 GB", ulm([text(constraints='[{"__ndarray__": [[2000000000], "float64", 0]}]')])
    yield "many items", ulm([text()], count=2**40)
    yield "no items", ulm([], count=0)
    yield "negative items", ulm([text()], count=-1)
    yield "items at no place", ulm([text()], place=2**61)
    yield "items without end", ulm([text()] * 2, offsets=[2**62, -1])
    yield "the same item many times", ulm([text()] * 50_000, offsets=[48 + 8 * 50_000] * 50_000)
    yield "JSON that nests", ulm([b'{"a": ' * 100_000])
    yield "JSON of another length", ulm([text()[:-5]])
    yield "another tag", ulm([text()], tag=b"GPAW")
    yield "a tag of escapes", ulm([text()], tag=b"\x1b[2J\x07")
    yield "a pickled trajectory of old", b"PickleTrajectory\x80\x02cos\nsystem\n(X\x0c\x00\x00\x00touch canarytR."


def declared_numbers():
    """(name, what, bytes): each whole number of a good file is, in turn, very large."""
    atoms = ase.build.bulk("Si", cubic=True)
    for name, kind in WRITTEN:
        try:
            file = io.BytesIO() if ase.io.formats.ioformats[kind].isbinary else io.StringIO()
            ase.io.write(file, atoms, format=kind)
            data = file.getvalue()
        except Exception:  # noqa: S112 (of a name, of this version of ASE)
            continue
        data = data if isinstance(data, bytes) else data.encode()
        yield name, "good", data
        words = [m.span() for m in _WHOLE.finditer(data)][:60]
        for k in {0, len(words) // 3, len(words) // 2, len(words) - 1} if words else ():
            a, b = words[k]
            yield name, f"whole number {k} is 999999999", data[:a] + b"999999999" + data[b:]
        middle = len(data) // 2
        yield name, "escapes", data[:middle] + b"\x1b]0;x\x07" + data[middle:]


_WHOLE = re.compile(rb"(?<![\d.eE+-])\d+(?![\d.eE])")


def elsewhere():
    """Cases of names and of formats that look at other files."""
    for path in ("-", "postgresql://127.0.0.1:9/x", "postgres.xyz", "mysql://u:p@127.0.0.1:9/x", "mariadb://127.0.0.1:9/x",
                 "http://127.0.0.1:9/x.xyz", "/dev/zero", "/dev/stdin", "/etc/passwd", "x\x00y", "", "x" * 5000,
                 "|touch canary", "x.xyz@__import__('os').system('touch canary')", "\x1b[2J.xyz"):
        yield Hostile(f"read {path[:24]!r}", "read", path, whole=True)
    onetep = b"%block lattice_cart\n10 0 0\n0 10 0\n0 0 10\n%endblock lattice_cart\ninclude_file ../outside.txt\nlock species x\n"
    yield Hostile("ONETEP includes a file", "read", "x.dat", {"x.dat": b"lock species \n" + onetep})
    yield Hostile("a file of Materials Studio has another beside it", "read", "x.xtd", {"x.xtd": b"x", "x.arc": Link(f"../{OUTSIDE}")})
    yield Hostile("DFTB+ includes a file", "read", "x.hsd", {"x.hsd": f"Geometry = GenFormat {{ <<< ../{OUTSIDE} }}".encode()})
    yield Hostile("a folder of frames", "read", ".", {"metadata.json": b'{"format": "BundleTrajectory", "version": 1}', "frames": b"1"})
    pickled = b'{"format": "BundleTrajectory", "version": 1, "backend": "pickle", "ulm.singleprecision": false, "subtype": "normal"}'
    yield Hostile("a folder of pickles", "read", ".", {"metadata.json": pickled, "frames": b"1", "F0/smalldata.pickle": b"cos\nsystem\n(S'touch canary'\ntR."})
    yield Hostile("a folder without end", "read", ".", {"metadata.json": pickled.replace(b"pickle", b"ulm"), "frames": b"999999999"})
    yield Hostile("states of EON", "read", "states", {"states/0/reactant.con": Link(f"../../../{OUTSIDE}")})
    yield Hostile("OUTCAR beside a link", "read", "OUTCAR", {"OUTCAR": b"x\n", "POSCAR": Link(f"../{OUTSIDE}")})
    yield Hostile("POSCAR beside a link", "read", "POSCAR", {"POSCAR": b"x\n1\n5 0 0\n0 5 0\n0 0 5\n1\nDirect\n0 0 0\n", "POTCAR": Link(f"../{OUTSIDE}"), "OUTCAR": Link(f"../{OUTSIDE}")})
    yield Hostile("a cell of CASTEP", "read", "x.cell", {"x.cell": b"%BLOCK lattice_cart\n5 0 0\n0 5 0\n0 0 5\n%ENDBLOCK lattice_cart\n%BLOCK positions_frac\nSi 0 0 0\n%ENDBLOCK positions_frac\n"})
    yield Hostile("a pipe", "read", "x.xyz", {"x.xyz": Pipe()})
    yield Hostile("a pipe of data", "read_dataset", "x.xyz", {"x.xyz": Pipe()})
    yield Hostile("a link to a device", "read", "x.xyz", {"x.xyz": Link("/dev/zero")})
    yield Hostile("a link to a device of data", "read_dataset", "x.xyz", {"x.xyz": Link("/dev/zero")})
    yield Hostile("GPAW's old files", "read", "x.gpw", {"x.gpw": b"x"})
    grow = '<!DOCTYPE x [<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 30)) + "]>"
    outside = f'<!DOCTYPE x [<!ENTITY a SYSTEM "../{OUTSIDE}">]>'
    for name, body in (("vasprun.xml", "<modeling><atominfo><atoms>%s</atoms></atominfo></modeling>"),
                       ("x.xsd", '<XSD Version="1"><AtomisticTreeRoot Name="%s">%s</AtomisticTreeRoot></XSD>'),
                       ("x.qbox", "<fpmd:simulation xmlns:fpmd='x'>\n<release> %s qbox-1 </release>\n<iteration>%s</iteration>")):
        for what, begin, inside in (("billion laughs", grow, "&a29;"), ("an external entity", outside, "&a;"),
                                    ("deep nesting", "", "<a>" * 100_000 + "</a>" * 100_000)):
            yield Hostile(f"{name}: {what}", "read", name, {name: (begin + body.replace("%s", inside)).encode()})


def harmful_structures():
    """All cases of structures and of data."""
    for k, (what, data) in enumerate(extended_xyz()):
        reader = ("read_dataset", "read")[k % 2]
        yield Hostile(f"{reader} xyz: {what}", reader, "x.xyz", {"x.xyz": data}, refused=False)
    for name, what, data in compressed():
        yield Hostile(f"{name}: {what}", "read", name, {name: data}, refused=what != "twice" and False)
    for what, data in json_of_ase():
        yield Hostile(f"json: {what}", "read", "x.json", {"x.json": data}, refused=False)
    for what, data in trajectories():
        yield Hostile(f"traj: {what}", "read", "x.traj", {"x.traj": data}, refused=False)
    for name, what, data in declared_numbers():
        yield Hostile(f"{name}: {what}", "read", name, {name: data}, refused=False)
    yield from elsewhere()
