"""Saved potentials, checkpoints and recipes that mean harm."""

import hashlib
import io
import json
import struct
import zipfile

import numpy as np
from hostile import OUTSIDE, TOUCH, Hostile, Link, Pipe, object_array, zipped

from jaxpot.core.save import MAGIC


def signed(tree, blob=b"", **more):
    """A file of jaxpot's own whose hashes are right."""
    header = {"tree": tree, "bytes": len(blob), "arrays_sha256": hashlib.sha256(blob).hexdigest()} | more
    header["header_sha256"] = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    text = json.dumps(header).encode()
    return MAGIC + b"%d\n" % len(text) + text + blob


def array(kind="float64", shape=(1,), offset=0):
    return {"array": kind, "shape": list(shape), "offset": offset}


def nested(depth, kind="tuple"):
    text = f'{{"{kind}": [' * depth + "null" + "]}" * depth
    header = f'{{"tree": {text}, "bytes": 0, "arrays_sha256": "x", "header_sha256": "x"}}'
    return MAGIC + b"%d\n" % len(header) + header.encode()


def trees():
    """(what, bytes)."""
    node = lambda cls, fields=None, static=None: {"class": cls, "fields": fields or {}, "static": static or {}}  # noqa: E731
    for cls in ("os:system", "builtins:eval", "subprocess:Popen", "jaxpot.core.save:save_tree", "", "../x:y", "\x1b]0;x\x07",
                "\u202ex", "jaxpot.potentials.lennard_jones:LennardJones.__init__", 5, None, ["os"], {"tuple": []}):
        yield f"class {str(cls)[:30]!r}", signed(node(cls))
    constants = "jaxpot:Constants"
    for fields in ({"__class__": array()}, {"__init__": array()}, {"__dict__": {"dict": []}}, {"\x1b[2J": array()}, {}):
        yield f"fields {str(list(fields))[:30]}", signed(node(constants, fields), bytes(8))
        yield f"static {str(list(fields))[:30]}", signed(node(constants, {}, dict.fromkeys(fields, "x")))
    for shape in ([10**12], [2**62, 4], [-1], [-8, -8], [2**31, 2**31, 2**31], [0, 10**18], [1.5], ["1"], [[1]], [1] * 100, "x",
                  None, [10**30], [True]):
        yield f"shape {str(shape)[:24]}", signed(array(shape=shape) if isinstance(shape, list) else {
            "array": "float64", "shape": shape, "offset": 0}, bytes(64))
    for offset in (-8, 10**12, 2**70, 1.5, "0", None, True, float("nan")):
        yield f"offset {offset}", signed(array(offset=offset), bytes(64))
    for kind in ("object", "O", "U999999999", "V1000000000", "float128", "M8[ns]", "", None, ["f8"], "f8,f8", "\x1b[2J"):
        yield f"type {str(kind)[:24]!r}", signed(array(kind), bytes(64))
    whole = 1 << 20
    yield "the same array a thousand times", signed({"tuple": [array("int8", [whole])] * 1000}, bytes(whole))
    yield "arrays over each other", signed({"tuple": [array("int8", [whole - k], k) for k in range(1000)]}, bytes(whole))
    yield "many arrays of nothing", signed({"tuple": [array(shape=[0])] * 4000})
    yield "keys that cannot be", signed({"dict": [[{"a": 1}, None]]})
    yield "pairs that are none", signed({"dict": [1, 2, 3]})
    yield "a tree that is none", signed("os.system")
    yield "a tree of a number", signed(5)
    yield "an empty tree", signed({})
    yield "code as text", signed({"tuple": TOUCH})
    for kind in ("tuple", "list", "dict"):
        yield f"deep {kind}", nested(100_000, kind)
    yield "deep, as far as JSON goes", nested(300)
    for text in ("-1", "9" * 30, "9" * 5000, "1e3", " 5", "\u0665", "", "0x5", "5" + " " * 100_000):
        yield f"header of {text[:12]!r} bytes, {len(text)} digits", MAGIC + text.encode() + b"\n{}"
    yield "a header without end", MAGIC + b"1" * 3_000_000
    yield "a header of zero bytes", MAGIC + b"1000\n" + bytes(1000)
    yield "a header of numbers", MAGIC + b"5000002\n[" + b"9" * 5_000_000 + b"]"
    lists = b'{"tree": [' + b"[]," * 2_000_000 + b"[]]}"
    yield "a header of lists", MAGIC + b"%d\n" % len(lists) + lists
    yield "two headers", signed(None) + signed(None)
    yield "bytes of another number", signed(None, b"", bytes=10**15)
    yield "a key twice", signed(None).replace(b'"tree"', b'"tree": 1, "tree"', 1)
    yield "infinity", signed(float("inf"))
    yield "UTF-16", signed(None).replace(b"{", "{".encode("utf-16"), 1)


def of_npy(shape="(3,)", kind="'<f8'", order="False", data=bytes(24), version=1, raw=None):
    """A .npy file with a header as it is given."""
    text = (f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}" if raw is None else raw).encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text) if version > 1 else min(len(text), 65535))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def about(**more):
    words = {"kind": "jaxpot checkpoint 1", "fingerprint": {"data": "x"}, "terms": 1, "groups": [], "frames": 1} | more
    file = io.BytesIO()
    np.save(file, np.array(json.dumps(words)))
    return file.getvalue()


def checkpoints_of_fits():
    """(what, bytes) of the .npz that a fit leaves."""
    point = lambda data, **more: zipped({"about.npy": about(**more), "points0.npy": data})  # noqa: E731
    for shape in ("(999999999,)", "(10**9,)", "(1 << 40,)", "(-1,)", "(2**62, 4)", "(3.0,)", "3", "(" * 3000, "[" * 150 + "]" * 150,
                  "__import__('os').system('touch canary')", "(9999999999999999999999,)", "(" + "1," * 100 + ")", "(0, 999999999)"):
        yield f"shape {shape[:24]}", point(of_npy(shape))
    for kind in ("'|O'", "'|V2000000000'", "'<U999999999'", "[('a', '|O')]", "'os.system'", "'<f8,|O'", "None", "'M8'"):
        yield f"type {kind}", point(of_npy(kind=kind))
    yield "a header of many signs", point(of_npy(raw="-" * 9000 + "1"))
    yield "a header of 60 kB", point(of_npy(raw=" " * 60_000 + "{}"))
    yield "a header of 200 MB", lambda: zipped(
        {"about.npy": about(), "points0.npy": of_npy(raw=" " * 200_000_000, version=2)}, zipfile.ZIP_DEFLATED)
    yield "an array of 400 MB, compressed", lambda: zipped(
        {"about.npy": about(), "points0.npy": of_npy("(50000000,)", data=bytes(400_000_000))}, zipfile.ZIP_DEFLATED)
    yield "words of 300 MB, compressed", lambda: zipped({"about.npy": of_npy("()", "'<U75000000'", data=bytes(300_000_000))}, zipfile.ZIP_DEFLATED)
    yield "bz2", zipped({"about.npy": about(), "points0.npy": of_npy()}, zipfile.ZIP_BZIP2)
    yield "lzma", zipped({"about.npy": about(), "points0.npy": of_npy()}, zipfile.ZIP_LZMA)
    good = point(of_npy())
    for what, place, value in (("encrypted", 6, 1), ("of an unknown method", 8, 99), ("of a later version", 4, 255)):
        yield what, _changed(good, place, value)
    yield "a member twice", zipped({"about.npy": about(), "points0.npy": of_npy()}) + good
    yield "cut off", good[:-30]
    yield "a length that is too long", _lengths(good, 0x7FFFFFFF)
    yield "many members", zipped({"about.npy": about(terms=4000), **{f"points{k}.npy": of_npy() for k in range(4000)}})
    yield "names outside", zipped({"../points0.npy": of_npy(), f"/../{OUTSIDE}.npy": of_npy(), "about.npy": about()})
    yield "pickles beside", zipped({"about.npy": about(), "points0": b"cos\nsystem\n(S'touch canary'\ntR."})
    yield "object arrays", object_array(True)
    for more in ({"terms": 10**12}, {"terms": -1}, {"terms": "x"}, {"terms": None}, {"groups": [[["a"], {}]]}, {"groups": 5},
                 {"groups": [["x", None]] * 5}, {"frames": "x"}, {"frames": None}, {"frames": -1}, {"fingerprint": []},
                 {"fingerprint": {"data": "\x1b[2J"}}, {"kind": "\x1b]0;x\x07"}):
        yield f"says {str(more)[:40]}", point(of_npy(), **more)
    deep = io.BytesIO()
    np.save(deep, np.array("[" * 100_000))
    yield "words that nest", zipped({"about.npy": deep.getvalue()})
    yield "an array of its own", of_npy()
    yield "a good one", good


def _changed(data, place, value):
    """A byte of each member's headers (local: PK 3 4; in the list at the end: PK 1 2, two bytes later) is another."""
    data = bytearray(data)
    for mark, more in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        at = data.find(mark)
        while at >= 0:
            data[at + place + more] = value
            at = data.find(mark, at + 4)
    return bytes(data)


def _lengths(data, value):
    data = bytearray(data)
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 20:at + 28] = struct.pack("<II", value, value)
        at = data.find(b"PK\x01\x02", at + 4)
    return bytes(data)


def trials():
    good = {"fingerprint": {"data": "x"}, "trials": [[["a", 1.0], 2.0]]}
    yield "deep nesting", b"[" * 100_000
    yield "deep objects", b'{"trials":' * 100_000
    yield "a list", b"[]"
    yield "a number of many digits", b'{"fingerprint": ' + b"9" * 5000 + b"}"
    yield "trials that cannot be keys", json.dumps(good | {"trials": [[[{"a": 1}], 1]]}).encode()
    yield "trials that are none", json.dumps(good | {"trials": 5}).encode()
    yield "no UTF-8", b"\xff\xfe{}"
    yield "zero bytes", bytes(1000)


RECIPE = 'method = "gap"\n[term]\n'


def tomls():
    """(what, bytes)."""
    yield "deep lists", b"a = " + b"[" * 100_000
    yield "deep lists that close", b"a = " + b"[" * 5000 + b"]" * 5000
    yield "deep tables", b"a = " + b"{a=" * 100_000
    yield "deep keys", b".".join([b"a"] * 20_000) + b" = 1"
    yield "deep names of tables", b"[" + b".".join([b"a"] * 20_000) + b"]"
    yield "many keys", b"".join(b"k%d = 1\n" % k for k in range(50_000))
    yield "many tables", b"[[terms]]\n" * 20_000
    yield "a number of many digits", b"units = " + b"9" * 5000
    yield "a number of words", b"a = __import__('os').system('touch canary')"
    yield "zero bytes", b"a = 1\x00\n"
    yield "no UTF-8", b'a = "\xff"'
    yield "a byte order mark", b"\xef\xbb\xbfa = 1"
    yield "UTF-16", "a = 1".encode("utf-16")
    yield "a long line", b'a = "' + b"x" * 5_000_000 + b'"'
    yield "escapes in a key", b'"\\u001b[2J" = 1'
    yield "escapes in a value", b'units = "\\u001b]0;x\\u0007"'
    yield "letters from right to left", '"\u202ex" = 1'.encode()
    yield "a class", b'"__class__" = "os.system"'
    yield "a path", f'units = "../{OUTSIDE}"'.encode()
    yield "infinity", b"[soap]\ncutoff = inf"
    yield "a date", b"units = 1979-05-27T07:32:00Z"
    yield "quotes without end", b'a = """' + b'\\"' * 500_000
    yield "a huge grid", b'[[terms]]\ndescriptor = "soap"\ncutoff = 5\nn_max = 999999999\nl_max = 999999999\natom_sigma = 0.5\n'


def harmful_state():
    """All cases of jaxpot's own files."""
    for k, (what, data) in enumerate(trees()):
        for reader, name in ((("load", "x.model"),) if k % 3 else (("load", "x.posterior"), ("md checkpoint", "x"))):
            yield Hostile(f"tree, {reader}: {what}", reader, name, {name: data}, refused=False)
        if k % 5 == 0:
            yield Hostile(f"tree, walk: {what}", "learn checkpoint", ".", {"walk.checkpoint": data, "labels/a": b""}, refused=False)
    for what, data in checkpoints_of_fits():
        yield Hostile(f"fit: {what}", "fit checkpoint", "x", {"x": data}, refused=False)
    for what, data in trials():
        yield Hostile(f"trials: {what}", "fit checkpoint", "x", {"x.trials": data})
    for what, data in tomls():
        yield Hostile(f"recipe: {what}", "read_recipe", "x.toml", {"x.toml": data}, refused=False)
    for reader, name in (("md checkpoint", "x"), ("fit checkpoint", "x"), ("read_recipe", "x.toml"), ("load", "x.model")):
        yield Hostile(f"{reader}: a pipe", reader, name, {name: Pipe()})
        yield Hostile(f"{reader}: a link to a device", reader, name, {name: Link("/dev/zero")})
        yield Hostile(f"{reader}: a link to itself", reader, name, {name: Link(name)})
        yield Hostile(f"{reader}: a folder", reader, name, {f"{name}/x": b""})
    yield Hostile("trials: a pipe", "fit checkpoint", "x", {"x.trials": Pipe()})
    yield Hostile("walk: a pipe", "learn checkpoint", ".", {"walk.checkpoint": Pipe(), "labels/a": b""})
    yield Hostile("labels: a pipe", "learn labels", ".", {"labels/0.frame": Pipe()})
    for path in ("-", f"../{OUTSIDE}", "http://127.0.0.1:9/x.toml", "x\x00y", "", "x" * 5000, "\x1b[2J"):
        yield Hostile(f"recipe {path[:20]!r}", "read_recipe", path, whole=True)
