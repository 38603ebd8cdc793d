"""Files of potentials that mean harm: XML, side files, folders, tables."""

import binascii
import bz2
import lzma
from functools import cache

import numpy as np
from hostile import GOOD, OUTSIDE, SECRET, Hostile, Link, Pipe, bomb

import jaxpot as jp
from jaxpot.descriptors import SymmetryFunctions
from jaxpot.potentials import Described
from jaxpot.readouts import MLP, Neural

GAP = GOOD / "gap"
_NAME = "plain.xml"


@cache
def gap():
    """A GAP as text, the name of its file of sparse points, and that file."""
    side = next(GAP.glob("plain.xml.sparseX*"))
    return (GAP / _NAME).read_text(), side.name, side.read_bytes()


@cache
def folder_of_networks(tmp):
    descriptor = SymmetryFunctions.automatic(("Si",), 4.0, 2, 1, "Si")
    zeros, ones = np.zeros(descriptor.dimension), np.ones(descriptor.dimension)
    readout = Neural(MLP.random(0, descriptor.dimension, (4,)), zeros, ones, -1.0, 0.5, tuple(zeros), tuple(ones))
    jp.save(Described(descriptor, readout, ("Si",)), f"{tmp}/network/")
    return {path.name: path.read_bytes() for path in (tmp / "network").iterdir()}


def doctype(inside, body="&a;", before=""):
    """A GAP with a document type declaration, and a use of its entity."""
    text, _, _ = gap()
    text = text.partition("?>")[2] if text.startswith("<?xml") else text
    begin = text.index(">") + 1
    return f"{before}<!DOCTYPE x [{inside}]>{text[:begin]}{body}{text[begin:]}".encode()


def entities():
    """External entities and those that grow."""
    grow = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 30))
    yield "billion laughs", doctype(grow, "&a29;")
    yield "billion laughs in an attribute", doctype(grow, '<x y="&a29;"/>')
    yield "quadratic blowup", doctype(f'<!ENTITY a "{"ha" * 50_000}">', "&a;" * 50_000)
    yield "entities of each other", doctype('<!ENTITY a "&b;"><!ENTITY b "&a;">')
    for kind in ("file:///etc/passwd", f"../{OUTSIDE}", f"file:../{OUTSIDE}", "http://127.0.0.1:9/x", "ftp://127.0.0.1/x",
                 "php://filter/read=x", "expect://touch canary", "\\\\127.0.0.1\\share", "jar:http://127.0.0.1:9/!x",
                 "data:text/plain,x", "/dev/zero", "/proc/self/environ"):
        yield f"external entity {kind}", doctype(f'<!ENTITY a SYSTEM "{kind}">')
    yield "external parameter entity", doctype(f'<!ENTITY % a SYSTEM "../{OUTSIDE}"> %a;')
    yield "external type", f'<!DOCTYPE x SYSTEM "../{OUTSIDE}">{gap()[0]}'.encode()
    yield "public type", f'<!DOCTYPE x PUBLIC "-//W3C//DTD" "http://127.0.0.1:9/x">{gap()[0]}'.encode()
    yield "unparsed entity", doctype(f'<!NOTATION n SYSTEM "x"><!ENTITY a SYSTEM "../{OUTSIDE}" NDATA n>', "")
    yield "declared but not used", doctype('<!ENTITY a "b">', "")
    yield "type in UTF-16", doctype('<!ENTITY a "b">', before='<?xml version="1.0" encoding="UTF-16"?>').decode().encode("utf-16")


def strange_xml():
    text = gap()[0]
    end = text.rindex("</")
    name = text[end + 2:].strip("> \n")
    within = lambda more: (text[:end] + more + text[end:]).encode()  # noqa: E731
    yield "deep nesting", within("<a>" * 200_000 + "</a>" * 200_000)
    yield "deep nesting of a section", within("<SW_params>" * 100_000 + "</SW_params>" * 100_000)
    yield "many attributes", within("<a " + " ".join(f'b{k}="1"' for k in range(50_000)) + "/>")
    yield "a long attribute", within(f'<a b="{"x" * 3_000_000}"/>')
    yield "a long name", within(f"<{'a' * 2_000_000}/>")
    yield "a long text", within(f"<descriptor>{'soap ' * 400_000}</descriptor>")
    yield "many comments", within("<!-- - -->" * 100_000)
    yield "XInclude", within(f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="../{OUTSIDE}" parse="text"/>')
    yield "style sheet", f'<?xml-stylesheet href="../{OUTSIDE}" type="text/xsl"?>{text}'.encode()
    yield "PHP", within('<?php system("touch canary"); ?>')
    yield "zero bytes", text.replace("e0", "e\x000", 1).encode()
    for encoding in ("UTF-7", "EBCDIC-CP-US", "x-unknown", "UTF-32", "ISO-2022-JP", "../../x"):
        yield f"encoding {encoding}", f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode()
    yield "UTF-16", text.encode("utf-16")
    yield "bytes that are no UTF-8", text.replace("e0", "\xff", 1).encode("latin-1")
    yield "two documents", (text + text).encode()
    yield "escape in an attribute", text.replace("soap", "&#27;]0;x&#7;soap", 1).encode()
    yield "escape in an element", text.replace("<descriptor>", "<descriptor>\x9b31m\u202e", 1).encode()
    yield "escape in init_args", text.replace("IP GAP", "IP \u009b31m\u202eGAP", 1).encode()
    for attribute in ("n_coordinate", "n_sparseX", "dimensions"):
        for value in ("999999999", "1e300", "-1", "9" * 5000, "nan", "&#x661;"):
            changed = _with_attribute(text, attribute, value)
            yield f"{attribute} {value[:12]}", changed.encode()
    for option in ("n_max=999999999", "l_max=999999999", "n_max=100000", "l_max=20000", "n_species=1000000000",
                   "cutoff=1e300", "n_Z=999999999", "species_Z={" + "14 " * 300_000 + "}"):
        yield f"descriptor {option[:24]}", _with_option(text, option).encode()
    yield "a closing name of its own", (text[:end] + f"</{name}\x1b[2J>").encode()


def _with_attribute(text, attribute, value):
    begin = text.index(f'{attribute}="') + len(attribute) + 2
    return text[:begin] + value + text[text.index('"', begin):]


def _with_option(text, option):
    name = option.partition("=")[0]
    begin, end = text.index("<descriptor>"), text.index("</descriptor>")
    words = [w for w in text[begin:end].split() if not w.startswith(f"{name}=")]
    return text[:begin] + " ".join([*words, option]) + text[end:]


def side_files():
    """(what, XML, name of the side file and what it is)."""
    text, side, data = gap()
    named = lambda name: text.replace(side, name).encode()  # noqa: E731
    for name in (f"../{OUTSIDE}", f"./../{OUTSIDE}", f"a/../../{OUTSIDE}", "/etc/passwd", "//etc/passwd", "~root/x",
                 f"~/{OUTSIDE}", f"$HOME/{OUTSIDE}", "..", ".", "", "/", "a/b", f"..\\{OUTSIDE}", "/dev/zero", "/dev/stdin",
                 "/proc/self/environ", "file:///etc/passwd", "http://127.0.0.1:9/x", "|touch canary", "`touch canary`",
                 "$(touch canary)", "; touch canary", "x" * 5000, "-", "&#10;", "CON", "a&#9;b", "&#x202e;x",
                 "x&#0;", "%2e%2e%2foutside.txt", f"\u2025/{OUTSIDE}"):
        yield f"named {name[:24]!r}", {_NAME: named(name)}
    yield "a link to a file outside", {_NAME: text.encode(), side: Link(f"../{OUTSIDE}")}
    yield "a link to an absolute name", {_NAME: text.encode(), side: Link("/etc/passwd")}
    yield "a link to a link outside", {_NAME: text.encode(), side: Link("again"), "again": Link(f"../{OUTSIDE}")}
    yield "a link to itself", {_NAME: text.encode(), side: Link(side)}
    yield "a link to a device", {_NAME: text.encode(), side: Link("/dev/zero")}
    yield "a link to nothing", {_NAME: text.encode(), side: Link("../nothing")}
    yield "a compressed link outside", {_NAME: text.encode(), side + ".xz": Link(f"../{OUTSIDE}")}
    yield "a pipe", {_NAME: text.encode(), side: Pipe()}
    yield "a folder", {_NAME: text.encode(), f"{side}/x": b"1"}
    yield "zero bytes", {_NAME: text.encode(), side: bytes(len(data))}
    yield "words", {_NAME: text.encode(), side: SECRET.encode()}
    yield "escapes", {_NAME: text.encode(), side: b"\x1b]0;x\x07 1.0\n" * 20}
    yield "too many numbers", {_NAME: text.encode(), side: b"1 " * 3_000_000}
    yield "not a number", {_NAME: text.encode(), side: b"nan " * (len(data) // 20)}
    yield "one number of many digits", {_NAME: text.encode(), side: b"1" * 3_000_000}
    yield "an xz bomb", {_NAME: text.encode(), side + ".xz": bomb(lzma.compress, b"\0", 600)}
    yield "an xz bomb of numbers", {_NAME: text.encode(), side + ".xz": bomb(lzma.compress, b"1 ", 300)}
    yield "a bz2 bomb", {_NAME: text.encode(), side + ".bz2": bomb(bz2.compress, b"1 ", 300)}
    yield "a broken xz", {_NAME: text.encode(), side + ".xz": lzma.compress(data)[:-20]}
    yield "an xz of a large window", {_NAME: text.encode(), side + ".xz": _large_window(data)}
    yield "a broken bz2", {_NAME: text.encode(), side + ".bz2": bz2.compress(data)[:-20]}
    yield "an xz that is none", {_NAME: text.encode(), side + ".xz": data}


def _large_window(data):
    """An xz file that asks for 4 GiB: the window stands in one byte of the header of its block, which a CRC32 covers."""
    data = bytearray(lzma.compress(data))
    block = slice(12, 12 + (data[12] + 1) * 4)
    header = data[block]
    header[header.index(b"\x21\x01") + 2] = 40
    header[-4:] = binascii.crc32(header[:-4]).to_bytes(4, "little")
    data[block] = header
    return bytes(data)


def tables():
    """(reader, name, what, bytes): files of tables."""
    sw = (GOOD / "two_kinds.sw").read_bytes()
    tersoff = (GOOD / "two_kinds.tersoff").read_bytes()
    setfl = (GOOD / "two_metals.eam.alloy").read_text()
    funcfl = (GOOD / "copper.eam").read_text()
    everyday = {"x.sw": sw, "x.tersoff": tersoff, "x.eam.alloy": setfl.encode(), "x.eam": funcfl.encode(),
                "x.eam.fs": (GOOD / "two_metals.eam.fs").read_bytes()}
    for name, data in everyday.items():
        lines = data.split(b"\n")
        middle = len(lines) // 2
        yield name, "a long line", b"\n".join([*lines[:middle], b"1 " * 2_000_000, *lines[middle:]])
        yield name, "a long word", b"\n".join([*lines[:middle], b"9" * 3_000_000, *lines[middle:]])
        yield name, "zero bytes", data.replace(b" ", b"\x00", 3)
        yield name, "UTF-16", data.decode("latin-1").encode("utf-16")
        yield name, "escapes", b"\n".join([*lines[:middle], b"\x1b]0;x\x07\x1b[2J \xc2\x9b31m \xe2\x80\xae", *lines[middle:]])
        yield name, "escapes as an element", data.replace(b"Si", b"S\x1b[2Ji").replace(b"Cu", b"C\x1b[2Ju").replace(b"29", b"2\x1b9")
        yield name, "many empty lines", b"\n" * 1_000_000 + data
        yield name, "carriage returns", data.replace(b"\n", b"\r")
    for old, new in (("2 Cu", "999999999 Cu"), ("60 0.32", "999999999 0.32"), ("60 0.32", "2147483648 0.32"),
                     ("60 0.32", "-60 0.32"), ("60 0.32", f"{'9' * 5000} 0.32")):
        yield "x.eam.alloy", f"declares {new[:16]}", setfl.replace(old, new).encode()
    lines = funcfl.split("\n")
    for k, number in ((0, "999999999"), (2, "999999999"), (0, "-5"), (2, "1" * 4400)):
        words = lines[2].split()
        words[k] = number
        yield "x.eam", f"declares {number[:12]} in place {k}", "\n".join([*lines[:2], " ".join(words), *lines[3:]]).encode()
    yield "x.sw", "a hundred elements", b"".join(
        f"{a} {b} {c} 1 2 1.8 20 1.2 -0.33 7 0.6 4 0 0\n".encode() for a in _SYMBOLS for b in _SYMBOLS for c in _SYMBOLS[:3])


_SYMBOLS = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr".split()


def networks(files):
    """(what, files) of n2p2's folders."""
    weights = next(name for name in files if name.startswith("weights"))
    settings = files["input.nn"].decode()
    for name in files:
        if name != "input.nn":  # the folder that a user names; the others are files that it asks for
            yield f"{name}: a link outside", files | {name: Link(f"../{OUTSIDE}")}
        yield f"{name}: a link to a device", files | {name: Link("/dev/zero")}
        yield f"{name}: a link to itself", files | {name: Link(name)}
        yield f"{name}: a pipe", files | {name: Pipe()}
        yield f"{name}: zero bytes", files | {name: bytes(1000)}
        yield f"{name}: words", files | {name: SECRET.encode()}
        yield f"{name}: a long line", files | {name: b"1 " * 2_000_000}
        yield f"{name}: escapes", files | {name: files[name].replace(b" ", b" \x1b[2J\x9b ", 4)}
    changed = lambda old, new: files | {"input.nn": _line(settings, old, new).encode()}  # noqa: E731
    yield "a hundred layers", changed("global_hidden_layers_short", "global_hidden_layers_short 999999999")
    yield "wide layers", changed("global_nodes_short", "global_nodes_short 100000")
    yield "wide layers without end", changed("global_nodes_short", "global_nodes_short 999999999")
    yield "many elements", changed("number_of_elements", "number_of_elements 999999999")
    yield "a path as an element", changed("elements", f"elements ../{OUTSIDE}")
    yield "an escape as an element", changed("elements", "elements \x1b]0;x\x07Si")
    yield "an escape as a letter", changed("global_activation_short", "global_activation_short \x1b[2J t")
    yield "units with escapes", {**files, "input.nn": ("# units: \x1b[2J\x9b x\n" + settings).encode("latin-1")}
    yield "many symmetry functions", changed("symfunction_short", "\n".join(
        f"symfunction_short Si 2 Si {0.001 * k} 0.0 4.0" for k in range(50_000)))
    yield "weights in a folder", {name: data for name, data in files.items() if name != weights} | {f"{weights}/x": b""}


def _line(text, keyword, new):
    lines = text.split("\n")
    first = next(k for k, line in enumerate(lines) if line.split()[:1] == [keyword])
    return "\n".join([*lines[:first], new, *lines[first + 1:]])


def meams():
    library, parameters = ((GOOD / f"{name}.meam").read_bytes() for name in ("made_up.library", "two_kinds"))
    both = {"a.library.meam": library, "b.meam": parameters}
    for name in both:
        for what, content in (
            ("a pipe", Pipe()), ("zero bytes", bytes(100)), ("words", SECRET.encode()), ("a long line", b"x " * 2_000_000),
            ("a link to a device", Link("/dev/zero")), ("escapes", both[name].replace(b" ", b" \x1b[2J\x9b", 3)),
            ("quotes without end", b"'" * 1_000_000), ("indices without end", b"rc(999999999,999999999)=1\n"),
            ("many brackets", b"rc" + b"(" * 500_000), ("an index of many digits", b"rc(" + b"9" * 6000 + b",1)=1\n"),
        ):
            yield f"{name}: {what}", both | {name: content}


def harmful_models(tmp):
    """All cases of `jp.load`."""
    text, side, data = gap()
    for what, content in entities():
        yield Hostile(f"xml: {what}", "load silicon", _NAME, {_NAME: content, side: data})
    for what, content in strange_xml():
        yield Hostile(f"xml: {what}", "load silicon", _NAME, {_NAME: content, side: data}, refused=False)
    for what, files in side_files():
        yield Hostile(f"sparse points: {what}", "load", _NAME, files)
    for name, what, content in tables():
        yield Hostile(f"{name}: {what}", "load", name, {name: content}, refused=False)
    for what, files in networks(folder_of_networks(tmp)):
        yield Hostile(f"n2p2: {what}", "load with units", ".", files, refused=False)
    for what, files in meams():
        yield Hostile(f"meam: {what}", "load meam", ".", files, refused=False)
    named = "\x1b]0;owned\x07\u202ex.sw"
    yield Hostile("a name with escapes", "load", named, {named: b"x\n"})
    yield Hostile("a name with a line end", "load", "a\nb.sw", {"a\nb.sw": b"x\n"})
    for path in ("-", "|touch canary", "http://127.0.0.1:9/x.model", "file:///etc/passwd", "/dev/zero", "/dev/stdin",
                 "x\x00y", "", "../" * 20 + "etc/passwd", "~root", "x" * 5000, "$(touch canary)"):
        yield Hostile(f"load {path[:20]!r}", "load", path, whole=True)
    yield Hostile("load a pipe", "load", "x.sw", {"x.sw": Pipe()})
    yield Hostile("load a link to a device", "load", "x.sw", {"x.sw": Link("/dev/zero")})
    yield Hostile("load a link to a device, no ending", "load", "x", {"x": Link("/dev/zero")})
