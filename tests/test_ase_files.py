"""What is looked at before ASE opens a file: its format, what it declares, and what lies beside it."""

import gzip
import io
import json
import lzma
import sqlite3

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk

from jaxpot.errors import FormatError
from jaxpot.io.ase_files import _count, check_database, check_json, check_trajectory
from jaxpot.io.extxyz import key_values, scan
from jaxpot.io.formats import UnknownFileTypeError, _check_growth, format_of

SILICON = bulk("Si", cubic=True)


def refused(function, *arguments, match):
    with pytest.raises(FormatError, match=match) as caught:
        function(*arguments)
    return caught.value


def json_file(tree):
    return io.BytesIO(json.dumps(tree).encode()), "x.json"


def test_arrays_in_json():
    def array(shape, values):
        return {"1": {"positions": {"__ndarray__": [shape, "float64", values]}}}

    check_json(*json_file(array([2, 3], [[1, 2, 3], [4, 5, 6]]) | {"ids": [1, 2]}))
    check_json(*json_file([1, 2]))
    check_json(*json_file(array([], 7.0)))
    for tree in (array([2, 4], [[1, 2, 3], [4, 5, 6]]), array([3, 2], [1, 2, 3, 4, 5]), array(["x"], [1]), {"__ndarray__": [1]}):
        refused(check_json, *json_file(tree), match="x.json.*this is damaged")
    hidden = {"constraints": json.dumps([{"__ndarray__": [[9], "float64", [1]]}])}
    refused(check_json, *json_file({"1": hidden}), match="declared with the shape .9., but has 1 numbers")
    check_json(*json_file({"1": {"constraints": [{"name": "FixAtoms"}]}}))
    refused(check_json, *json_file({"ids": [1, 2, 1]}), match="there more than once")
    check_json(*json_file({"ids": 1}))
    refused(check_json, io.BytesIO(b"{"), "x.json", match="damaged")
    assert [_count(v) for v in (5, [], [1, 2], [[1, 2], [3, [4]]])] == [1, 0, 2, 4]


def test_data_bases(tmp_path):
    path = tmp_path / "x.db"
    with ase.db.connect(path) as base:
        base.write(SILICON, key=1)
    check_database(path)
    assert format_of(path) == "db"
    for what, more in (
        ("v is a view", "CREATE VIEW v AS SELECT * FROM systems"),
        ("t is a trigger", "CREATE TRIGGER t AFTER INSERT ON systems BEGIN SELECT 1; END"),
        ("c is a table that is computed", "CREATE TABLE c (a INT, b INT GENERATED ALWAYS AS (a + 1))"),
    ):
        changed = tmp_path / "changed.db"
        changed.write_bytes(path.read_bytes())
        with sqlite3.connect(changed) as connection:
            connection.execute(more)
        refused(check_database, changed, match=what)
        refused(format_of, changed, match=what)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE systems SET key_value_pairs = ?", ['{"a": {"__ndarray__": [[5], "float64", [1]]}}'])
    refused(check_database, path, match="damaged")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE information")
    refused(check_database, path, match="no data base of ASE")
    refused(check_database, tmp_path / "absent.db", match="no data base of SQLite")
    assert not (tmp_path / "absent.db").exists()


def ulm(items, magic=b"- of Ulm", count=None, place=48, offsets=None):
    """A file of ASE's `ulm`: JSON texts at places that a header declares."""
    head = magic + b"ASE-Trajectory".ljust(16) + np.array([3, len(items) if count is None else count, place]).tobytes()
    at, body = 48 + 8 * len(items), b""
    places = []
    for text in items:
        places.append(at + len(body))
        body += np.int64(len(text)).tobytes() + text
    return head + np.array(places if offsets is None else offsets, np.int64).tobytes() + body


def check(data):
    check_trajectory(io.BytesIO(data), "x.traj")


def test_trajectories(tmp_path):
    ase.io.write(tmp_path / "x.traj", [SILICON, SILICON * 2])
    whole = (tmp_path / "x.traj").read_bytes()
    check(whole)
    with open(tmp_path / "x.traj", "rb") as file:
        file.seek(7)
        check_trajectory(file, "x.traj")
    assert format_of(tmp_path / "x.traj") == "traj"
    for cut in (40, 47, 300):
        refused(check, whole[:cut], match="lies outside of the file|not in the file")

    text = b'{"a": 1}'
    check(ulm([text, text]))
    check(ulm([text], magic=b"AFFormat"))
    check(ulm([]))
    refused(check, ulm([text], magic=b"- of Elm"), match="not a trajectory")
    size = len(ulm([text]))
    for count in (-1, size // 8 + 1):
        refused(check, ulm([text], count=count), match="structures are declared")
    refused(check, ulm([text], count=size // 8), match="lies outside")
    for place in (-1, size - 7):
        refused(check, ulm([text], place=place), match="lies outside")
    for offset in (size - 7, 10**9):
        refused(check, ulm([text], offsets=[offset]), match="lies outside")
    refused(check, ulm([text], offsets=[-1]), match="lies outside")
    refused(check, ulm([text, text], offsets=[64, 64 + 15]), match="over each other")
    refused(check, ulm([text, text], offsets=[64, 64]), match="over each other")
    refused(check, ulm([b'{"a": ']), match="damaged")


@pytest.mark.parametrize("array, reason", [
    ([[2, 3], "float64", 48], None), ([[0, 3], "bool", 0], None), ([[], "int8", 0], None),
    ([[2, -3], "float64", 48], "is not in the file"), ([[-2], "float64", 48], "is not in the file"),
    ([[2, 3], "O", 48], "the type O"), ([[1], "float64", -1], "is not in the file"),
    ([[1], "float64", 10**6], "is not in the file"), ([[10**6], "int8", 0], "is not in the file"),
    ([["x"], "float64", 0], "expected a shape, a type and a place"), ([[1], "float64"], "expected a shape"),
])
def test_places_of_arrays(array, reason):
    for tree in ({"positions.": {"ndarray": array}}, {"inner.": {"positions.": {"ndarray": array}}}):
        data = ulm([json.dumps(tree).encode()])
        if reason is None:
            check(data)
        else:
            assert refused(check, data, match=reason).field == "positions"
    check(ulm([json.dumps({"positions": {"ndarray": array}, "x.": 1}).encode()]))


def test_an_array_up_to_the_end_of_a_file():
    def tree(count, offset):
        return ulm([json.dumps({"x.": {"ndarray": [[count], "int8", offset]}}).encode().ljust(80)])

    size = len(tree(1, 0))
    check(tree(size, 0))
    check(tree(9, size - 9))
    refused(check, tree(9, size - 8), match="not in the file")


def test_formats_that_are_not_read(tmp_path):
    for name, content, reason in (
        ("x.cell", "%BLOCK LATTICE_CART\n", "castep-cell are not read: ASE starts a calculator"),
        ("page.html", "<html></html>", "files of the kind html are not read; write"),
    ):
        (tmp_path / name).write_text(content)
        refused(format_of, tmp_path / name, match=reason)
    refused(format_of, tmp_path, match="a folder")
    (tmp_path / "x.unknown").write_text("hello\n")
    with pytest.raises(UnknownFileTypeError):
        format_of(tmp_path / "x.unknown")
    (tmp_path / "x.json").write_text('{"ids": [1, 1]}')
    refused(format_of, tmp_path / "x.json", match="more than once")


def test_compressed_files_that_grow(tmp_path):
    path = tmp_path / "x.xyz.gz"
    path.write_bytes(gzip.compress(b"1\n\nSi 0 0 0\n" + b"\n" * ((1 << 22) - 12)))  # 4 MB are nothing
    assert format_of(path) == "extxyz"
    path.write_bytes(gzip.compress(b"1\n\nSi 0 0 0\n" + b"\n" * ((1 << 22) - 11)))
    refused(format_of, path, match="become more than 4194304 when")
    noise = np.random.default_rng(0).bytes(60_000)  # nor is a hundredfold
    for lines, refuses in ((5_900_000, False), (7_000_000, True)):
        path.write_bytes(gzip.compress(noise + b"\n" * lines))
        if refuses:
            refused(_check_growth, path, path.stat().st_size, match="become more than")
        else:
            _check_growth(path, path.stat().st_size)
    path.write_bytes(gzip.compress(b"1\n\nSi 0 0 0\n")[:-6])
    refused(format_of, path, match="cannot be read")
    other = tmp_path / "x.xyz.xz"
    other.write_bytes(lzma.compress(b"1\n\nSi 0 0 0\n"))
    assert format_of(other) == "extxyz"


@pytest.mark.parametrize("name, text", [
    ("POSCAR", "Si\n1.0\n1 0 0\n0 1 0\n0 0 1\nSi\n{}\nDirect\n0 0 0\n"),
    ("POSCAR", "Si\n1.0\n1 0 0\n0 1 0\n0 0 1\nSi C\n1 {}\nDirect\n0 0 0\n"),
    ("x.cfg", "Number of particles = {}\nA = 1.0 Angstrom (basic length-scale)\n"),
    ("x.lammps-data", "words\n\n{} atoms\n1 atom types\n"),
])
def test_more_atoms_than_a_file_can_hold(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text.format(65_535))
    assert format_of(path)
    path.write_text(text.format(65_537))
    refused(format_of, path, match=r"6553\d atoms are declared, more than \d+ bytes can hold")


def test_files_beside_a_poscar(tmp_path):
    """ASE looks there for elements that the file does not name."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("x")
    (inside / "POTCAR").symlink_to(tmp_path / "secret")
    path = inside / "POSCAR"
    for elements, refuses in (("Si\n", False), ("", True)):
        path.write_text(f"Si\n1.0\n1 0 0\n0 1 0\n0 0 1\n{elements}1\nDirect\n0 0 0\n")
        if refuses:
            refused(format_of, path, match="POTCAR.*link to another folder")
        else:
            assert format_of(path) == "vasp"
    (inside / "POTCAR").rename(inside / "other")
    assert format_of(path) == "vasp"
    for text in ("Si\n1.0\n1 0 0\n0 1 0\n0 0 1\n\n1\n", "Si\n1.0\n1 0 0\n0 1 0\n0 0 1\n"):
        path.write_text(text)
        assert format_of(path) == "vasp"


def frame(comment="", count=1):
    return f'{count}\nProperties=species:S:1:pos:R:3 {comment}\n' + "Si 0 0 0\n" * count


@pytest.mark.parametrize("text, reason", [
    ("0\n\n", "line 1.*no atoms in this frame"), ("1.0\n\nSi 0 0 0\n", r"expected the number of atoms, got '1\.0'"),
    ("9" * 19 + "\n\nSi 0 0 0\n", "9{18} atoms are declared, but the file ends after 1"),
    (frame().replace("R:3", "R:10001"), "pos: expected a number of columns from 1 to 10000, got '10001'"),
    (frame().replace("R:3", "R:0"), "pos: expected a number of columns"),
    (frame().replace("R:3", "R:1" + "0" * 19), "pos: expected a number of columns"),
    (frame().replace("R:3", "R:3" + "".join(f":c{k}:R:1" for k in range(999))), "at most 1000 properties, got 1001"),
    (frame('stress="1 2e-3 0 0 1 0 0 0 1"'), "stress: expected a symmetric tensor"),
    (frame('virial="1,2e-3,0,0,1,0,0,0,1"'), "virial: expected a symmetric tensor"),
    (frame('stress="0 2e-6 0 0 0 0 0 0 0"'), "stress: expected a symmetric tensor"),
    (frame('a="" b=2'), "a is empty"), (frame() + "\n\n" + frame(), r"line 6: there is more after an empty line \(line 4\)"),
    (frame(count=2)[:-9], "frame 0: 2 atoms are declared, but the file ends after 1"),
    (frame() + frame("a=1 a=2"), "line 5: frame 1: a is there twice"),
])
def test_frames_that_are_refused(tmp_path, text, reason):
    path = tmp_path / "x.xyz"
    path.write_text(text)
    refused(scan, path, match=reason)


@pytest.mark.parametrize("text, frames", [
    (frame() + frame(count=3), 2), ("", 0), (frame() + "\n \n", 1), (frame() + "VEC1 1 0 0\n VEC2 1 0 0\n" + frame(), 2),
    (frame('stress="1 5e-4 0 0 1 0 0 0 1"'), 1), (frame('stress="0 5e-7 0 0 0 0 0 0 0"'), 1), (frame('stress="1 2 3"'), 1),
    (frame('stress="nan 1 0 0 1 0 0 0 1"'), 1), (frame("a="), 1), (frame().replace("R:3", "R:10000"), 1),
    (frame().replace("R:3", "R:3" + "".join(f":c{k}:R:1" for k in range(998))), 1), ("1\n\nSi 0 0 0\n", 1),
])
def test_frames_that_are_read(tmp_path, text, frames):
    path = tmp_path / "x.xyz"
    path.write_text(text)
    assert scan(path) == frames


def test_long_lines(tmp_path):
    path = tmp_path / "x.xyz"
    path.write_bytes(b"1\n\n" + b"x" * ((1 << 24) - 2) + b"\n")
    assert scan(path) == 1
    path.write_bytes(b"1\n\n" + b"x" * (1 << 24))
    refused(scan, path, match="line 2.*more than 16 MB")


def test_pairs_of_a_comment():
    assert key_values(r"""a='x"y' b={'q'} "c d"=[1 {2}] e=a\ b f="open""") == [
        ("a", 'x"y'), ("b", "'q'"), ("c d", "1 {2}"), ("e", "a b"), ("f", "open"),
    ]
    assert key_values('g="') == [("g", "")] and key_values("h= i") == [("h", "i")] and key_values("j =k") == [("j", "k")]
