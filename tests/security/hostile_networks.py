"""Files of published networks that mean harm: checkpoints of torch (SevenNet, CHGNet), Nequix, folders of ANI."""

import bz2
import json
import sys
import zipfile

import numpy as np
from hostile import CANARY, GOOD, OUTSIDE, PICKLES, SECRET, Hostile, Link, Pipe, bomb, object_array

sys.path.append(str(GOOD.parent))  # what writes good files of these formats stands beside their tests
import test_ani
import test_chgnet
import test_nequix
import test_sevennet
from torch_files import Call, Name, Storage, members_of, tensor, tensor_of, zipped

COMMANDS = {
    "os.system": Call(Name("os", "system"), (f"touch {CANARY}",)),
    "eval": Call(Name("builtins", "eval"), (f"__import__('os').system('touch {CANARY}')",)),
    "a name of several parts": Call(Name("torch", "os.system"), (f"touch {CANARY}",)),
    "torch.load": Call(Name("torch", "load"), (f"../{OUTSIDE}",)),
    "numpy of objects": Call(Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b")),
    "a state of a class": Call(Name("collections", "OrderedDict"), (), {"__class__": Name("os", "system")}),
}
_NUMBERS = Storage(np.ones(8, np.float32).tobytes())
TENSORS = {
    "of 4 GB": tensor(_NUMBERS, 0, (999_999_999,), (1,)),
    "of 4 GB that repeats a number": tensor(_NUMBERS, 0, (999_999_999,), (0,)),
    "of many axes": tensor(_NUMBERS, 0, (1,) * 1000, (1,) * 1000),
    "behind its numbers": tensor(_NUMBERS, 10**12, (2,), (1,)),
    "before its numbers": tensor(_NUMBERS, -4, (2,), (1,)),
    "that goes backwards": tensor(_NUMBERS, 7, (8,), (-1,)),
    "of too few numbers": tensor(Storage(bytes(8), count=10**9), 0, (10**9,), (1,)),
    "of numbers outside": tensor(Storage(bytes(8), key=f"../../{OUTSIDE}"), 0, (2,), (1,)),
    "of numbers at an absolute place": tensor(Storage(bytes(8), key="/etc/passwd"), 0, (2,), (1,)),
    "of numbers with an escape": tensor(Storage(bytes(8), key="\x1b[2J\x9b"), 0, (2,), (1,)),
}


def trees():
    """Of each program the ending, a word by which its files are known, and a good tree as a function of changes."""

    def sevennet(settings, weights):
        config = test_sevennet.settings() | settings
        arrays = {name: tensor_of(array) for name, array in test_sevennet.state().items()} | weights
        return {"model_state_dict": arrays, "config": config, "epoch": 1}

    def chgnet(settings, weights):
        arrays = {name: tensor_of(array) for name, array in test_chgnet.state().items()} | weights
        return {"model": {"state_dict": arrays, "model_args": test_chgnet.SETTINGS | settings}}

    yield "x.pth", b"E3_equivariant_model", sevennet
    yield "x.pth.tar", b"bond_graph_cutoff", chgnet


SETTINGS = {
    "x.pth": (
        {"irreps_manual": ["999999999x0e"] * 3}, {"irreps_manual": ["3x0e+3x999999999e"] * 3}, {"lmax": 999_999_999},
        {"irreps_manual": ["3x0e"] * 50_000}, {"irreps_manual": ["\x1b]0;x\x07\x9b"] * 3}, {"cutoff": float("nan")},
        {"_type_map": {f"../{OUTSIDE}": 0}}, {"_type_map": dict.fromkeys(range(100_000), 0)}, {"version": "\x1b[2J"},
        {"radial_basis": {"radial_basis_name": "\x9b31m", "bessel_basis_num": 10**12}}, {"cutoff": 1e300},
    ),
    "x.pth.tar": (
        {"n_conv": 999_999_999}, {"n_conv": -1}, {"n_conv": 10**4000}, {"atom_graph_cutoff": float("inf")},
        {"cutoff_coeff": 999_999_999}, {"read_out": "\x1b]0;x\x07"}, {"gMLP_norm": "\x9b" * 100_000},
    ),
}


def archives():
    """(what, name, files) of checkpoints."""
    for name, word, tree in trees():
        good = members_of(tree({}, {}))
        weight = next(iter(tree({}, {}).get("model_state_dict", tree({}, {}).get("model", {}).get("state_dict", {}))))
        for what, call in COMMANDS.items():
            yield f"{what} among settings", name, {name: zipped(members_of(tree({"cutoff": call}, {})))}
            yield f"{what} among weights", name, {name: zipped(members_of(tree({}, {weight: call})))}
        for what, data in PICKLES.items():
            yield what, name, {name: zipped(good | {"data.pkl": data + word})}
        for what, node in TENSORS.items():
            yield f"a tensor {what}", name, {name: zipped(members_of(tree({}, {weight: node})))}
        for changes in SETTINGS[name]:
            (key, value), = changes.items()
            yield f"{key} {str(value)[:24]!r}" if key != "n_conv" or value < 10**12 else f"{key} of many digits", name, {
                name: zipped(members_of(tree(changes, {})))}
        pickle = good["data.pkl"]
        for what, data in {
            "lists in lists": b"\x80\x02" + b"]" * 500_000 + word, "marks without end": b"\x80\x02" + b"(" * 3_000_000 + word,
            "a long of many digits": b"\x80\x02\x8b\x00\x00\x20\x00" + b"\x7f" * 2_097_152 + b"." + word,
            "a word of 4 GB": b"\x80\x02X\xff\xff\xff\xff" + word, "the end missing": pickle[:-40] + word,
            "doubled again and again": b"\x80\x02]" + b"(h\x00h\x00e" * 100_000 + b"." + word,
        }.items():
            yield what, name, {name: zipped(good | {"data.pkl": data})}
        yield "files that are compressed", name, {name: zipped(good, zipfile.ZIP_DEFLATED)}
        yield "a bomb", name, {name: zipped(good | {"data/0": bytes(300_000_000)}, zipfile.ZIP_DEFLATED)}
        yield "names outside", name, {name: zipped(good | {f"../../{CANARY}": b"x"})}
        yield "an absolute folder", name, {name: zipped(good, folder="/archive/")}
        yield "many files", name, {name: zipped(good | {f"data/x{k}": b"" for k in range(20_000)})}
        yield "numbers the other way round", name, {name: zipped(good | {"byteorder": b"\x1b[2J"})}
        yield "a cut end", name, {name: zipped(good)[:-200]}
        yield from (
            (what, name, {name: content}) for what, content in (
                ("a pipe", Pipe()), ("a link to a device", Link("/dev/zero")), ("a link to itself", Link(name)),
            )
        )


def nequix(tmp):
    """(what, bytes) of files of Nequix."""
    path, arrays = tmp / "x.nqx", test_nequix.arrays()

    def file(table, values=arrays):
        return test_nequix.written(path, table, values).read_bytes()

    settings = test_nequix.settings()
    numbers = file(settings).partition(b"\n")[2]
    for changes in (
        {"n_layers": 999_999_999}, {"lmax": 999_999_999}, {"lmax": -1}, {"hidden_irreps": "999999999x0e + 2x1o"},
        {"hidden_irreps": "3x0e" + " + 2x1o" * 100_000}, {"radial_mlp_size": 999_999_999}, {"radial_basis_size": 10**12},
        {"hidden_irreps": "\x1b]0;x\x07\x9b"}, {"atomic_numbers": list(range(300_000))}, {"cutoff": "\x1b[2J"},
        {"radial_polynomial_p": 1e300}, {"radial_polynomial_p": 10**6}, {"index_weights": "\x9b31m\u202e"},
        {"atomic_numbers": [[8]]}, {"atomic_numbers": ["\x1b[2J"]}, {"scale": None}, {"cutoff": float("nan")},
    ):
        (key, value), = changes.items()
        yield f"{key} {str(value)[:24]!r}", file(settings | changes)
    begin = json.dumps(settings)[:-1].encode()
    yield "lists in lists", begin + b', "x": ' + b"[" * 300_000 + b"]" * 300_000 + b"}\n" + numbers
    yield "a number of many digits", begin + b', "cutoff": ' + b"9" * 6000 + b"}\n" + numbers
    yield "a key many times", begin + b', "cutoff": 4.0' * 200_000 + b"}\n" + numbers
    yield "no end of the line", begin + b"}"
    yield "bytes that are no UTF-8", begin + b', "x": "\xff\x9b"}\n' + numbers
    yield "an array of objects", begin + b"}\n" + object_array()
    for header in ("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999999)}",
                   "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
                   f"__import__('os').system('touch {CANARY}')", "{" * 5000):
        text = header.encode() + b"\n"
        yield f"header {header[:16]}", begin + b"}\n\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    yield "a header of 4 GB", begin + b"}\n\x93NUMPY\x02\x00\xff\xff\xff\xff"


def anis(tmp):
    """(what, files) of folders of ANI."""
    folder = test_ani.write_model(tmp / "ani", members=1)
    good = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    layers = next(name for name in good if name.endswith(".nnf"))
    for name in ("made-up.params", "sae_linfit.dat", layers, layers + "-l1.wparam"):
        data = good[name]
        for what, content in (
            ("a link outside", Link("../" * (name.count("/") + 1) + OUTSIDE)), ("a link to a device", Link("/dev/zero")),
            ("a link to itself", Link(name.rpartition("/")[2])), ("a pipe", Pipe()), ("zero bytes", bytes(len(data))),
            ("words", SECRET.encode()), ("a long line", b"1 " * 2_000_000), ("many numbers", b"9" * 3_000_000),
            ("escapes", data.replace(b"e", b"\x1b[2J\x9b", 3)), ("half of it", data[: len(data) // 2]),
        ):
            yield f"{name}: {what}", good | {name: content}
    text = test_ani.text_of(layers[-5], test_ani.WIDTHS[layers[-5]])
    changed = lambda old, new: good | {layers: test_ani.packed(text.replace(old, new, 1))}  # noqa: E731
    yield "weights in a file outside", changed("FILE:ANN", f"FILE:../../../{OUTSIDE}")
    yield "weights in an absolute file", changed("FILE:ANN", "FILE:/etc/passwd")
    yield "weights in a file with an escape", changed("FILE:ANN", "FILE:\x1b]0;x\x07")
    yield "many nodes", changed("nodes=", "nodes=999999999")
    yield "nodes of many digits", changed("nodes=", "nodes=" + "9" * 6000)
    yield "many weights", changed(".wparam[", ".wparam[999999999")
    yield "an element with an escape", changed("atom_net ", "atom_net \x1b[2J")
    yield "a bz2 bomb", good | {layers: b"600000000=\n" + bomb(bz2.compress, b"x ", 600)}
    yield "a declared length of many digits", good | {layers: b"9" * 6000 + b"=\n" + bz2.compress(text.encode())}
    parameters = good["made-up.params"].decode()
    for old, new in (("Atyp = [H,O]", "Atyp = [" + "H," * 100_000 + "O]"), ("ShfZ = [", "ShfZ = [" + "1.0," * 200_000),
                     ("Rcr = 4.2", "Rcr = 1e300"), ("Rcr = 4.2", "Rcr = __import__('os')"), ("H,O", f"../{OUTSIDE},O")):
        yield f"{new[:24]}", good | {"made-up.params": parameters.replace(old, new).encode()}


def harmful_networks(tmp):
    """All cases of these formats."""
    tmp.mkdir(exist_ok=True)
    for what, name, files in archives():
        yield Hostile(f"{name}: {what}", "load", name, files, refused=False)
    for what, data in nequix(tmp):
        yield Hostile(f"nequix: {what}", "load", "x.nqx", {"x.nqx": data}, refused=False)
    for what, files in anis(tmp):
        yield Hostile(f"ani: {what}", "load", ".", files, refused=False)
