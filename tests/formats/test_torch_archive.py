"""Checkpoints of PyTorch without PyTorch: what they hold, what they must not hold, and what is damaged.

`pytest -m slow -n 0 -s tests/formats/test_torch_archive.py` reads thousands of damaged ones, and shows the figures.
"""

import os
import struct
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mutants import Outcome, damaged, watched
from torch_files import KINDS, REBUILD, Call, Name, Storage, members_of, tensor, tensor_of, written, zipped

from jaxpot.errors import FormatError
from jaxpot.formats.torch_archive import is_torch_archive, read_torch_archive

PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "models"
COUNT = 5000  # damaged files, of each of two protocols


def read_back(folder, tree, protocol=2):
    return read_torch_archive(written(folder / "x.pth", tree, protocol))


def read_pickle_bytes(folder, data, **members):
    (folder / "x.pth").write_bytes(zipped({"data.pkl": data, **members}))
    return read_torch_archive(folder / "x.pth")


PLAIN = {
    "nothing": None, "yes": True, "no": False, "whole": [0, 255, 65535, -1, 2**31 - 1, -(2**40), 2**70],
    "real": (1.5, -0.0, float("inf")), "words": ["", "Å", "a" * 300], 7: {"nested": [(), [], {}, (1, 2, 3, 4)]},
    "bytes": b"\x00\xff" * 3, "no bytes": b"", True: None,
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values(tmp_path, protocol):
    assert read_back(tmp_path, PLAIN, protocol) == PLAIN
    if protocol >= 4:
        assert read_back(tmp_path, {"set": {"a", 1, None}}, protocol) == {"set": {"a", 1, None}}


def test_what_is_shared_stays_shared(tmp_path):
    row = [1, 2]
    found = read_back(tmp_path, [row, row, (row,)])
    assert found == [[1, 2], [1, 2], ([1, 2],)] and found[0] is found[1] is found[2][0]


@pytest.mark.parametrize("protocol", [2, 4])
def test_names_of_pytorch_and_python(tmp_path, protocol):
    array = tensor_of(np.arange(3, dtype="<f4"))
    state = Call(Name("collections", "OrderedDict"), (), {"_metadata": OrderedDict(version=1)})
    found = read_back(tmp_path, {
        "ordered": OrderedDict(b=1, a=2), "with a state": state,
        "parameter": Call(Name("torch._utils", "_rebuild_parameter"), (array, True, OrderedDict())),
        "size": Call(Name("torch", "Size"), ((2, 3),)),
        "devices": [Call(Name("torch", "device"), ("cpu",)), Call(Name("torch", "device"), ("cuda", 1))],
        "types": [Name("torch", "float32"), Name("torch", "bfloat16")],
    }, protocol)
    assert list(found["ordered"].items()) == [("b", 1), ("a", 2)] and found["with a state"] == {}
    np.testing.assert_array_equal(found["parameter"], [0.0, 1.0, 2.0])
    assert found["size"] == (2, 3) and found["devices"] == ["cpu", "cuda:1"] and found["types"] == ["float32", "bfloat16"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bfloat16"])
def test_tensors_of_each_type(tmp_path, kind):
    numbers = np.array([[0, 1, 2], [100, 5, 0]]).astype(kind)
    found = read_back(tmp_path, {"a": tensor_of(numbers)})["a"]
    np.testing.assert_array_equal(found, numbers)
    assert found.dtype == numbers.dtype and found.flags.c_contiguous and not found.flags.writeable


@pytest.mark.parametrize("shape, strides", [((4,), (1,)), ((2, 2), (1, 2)), ((), ())])
def test_bfloat16(tmp_path, shape, strides):
    numbers = np.array([1.0, -2.5, 3.0e38, 2.0**-126], "<f4")  # whose lower halves are rounded off
    halves = (numbers.view("<u4") >> 16).astype("<u2")
    found = read_back(tmp_path, tensor(Storage(halves.tobytes(), "BFloat16"), 0, shape, strides))
    expected = (halves.astype("<u4") << 16).view("<f4")
    expected = expected[0] if shape == () else expected.reshape(shape, order="F" if len(shape) == 2 else "C")
    np.testing.assert_array_equal(found, expected)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32 and not found.flags.writeable


# (offset, sizes, strides) of numbers 0 to 23, and the same of NumPy.
VIEWS = {
    "whole": (0, (4, 6), (6, 1), lambda a: a.reshape(4, 6)),
    "transposed": (0, (6, 4), (1, 6), lambda a: a.reshape(4, 6).T),
    "every other": (1, (12,), (2,), lambda a: a[1::2]),
    "a block": (8, (2, 3), (6, 1), lambda a: a.reshape(4, 6)[1:3, 2:5]),
    "three axes turned": (0, (4, 2, 3), (1, 12, 4), lambda a: a.reshape(2, 3, 4).transpose(2, 0, 1)),
    "repeated": (5, (2, 3), (0, 1), lambda a: np.tile(a[5:8], (2, 1))),
    "overlapping": (0, (3, 4), (1, 1), lambda a: np.stack([a[k:k + 4] for k in range(3)])),
    "a number": (23, (), (), lambda a: a[23]),
    "of one, with a stride beyond reason": (23, (1, 1), (2**70, 0), lambda a: a[23:].reshape(1, 1)),
    "empty": (24, (0,), (1,), lambda a: a[:0]),
    "empty planes": (0, (2, 0, 3), (99, 3, 1), lambda a: a[:0].reshape(2, 0, 3)),
}


@pytest.mark.parametrize("kind", ["<f4", "<i8", "|b1"])
@pytest.mark.parametrize("name", VIEWS)
def test_views(tmp_path, name, kind):
    offset, shape, strides, expected = VIEWS[name]
    numbers = np.arange(24).astype(kind)
    found = read_back(tmp_path, tensor(Storage(numbers.tobytes(), KINDS[numbers.dtype.str]), offset, shape, strides))
    np.testing.assert_array_equal(found, expected(numbers))
    assert found.shape == shape and found.dtype == numbers.dtype
    assert isinstance(found, np.ndarray) and found.flags.c_contiguous and not found.flags.writeable


def test_tensors_of_one_storage(tmp_path):
    storage = Storage(np.arange(6, dtype="<f4").tobytes())
    found = read_back(tmp_path, [tensor(storage, 0, (2, 3), (3, 1)), tensor(storage, 0, (3, 2), (1, 3)),
                                 tensor(storage, 5, (), (), None)])
    np.testing.assert_array_equal(found[0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found[1], found[0].T)
    assert found[2] == 5.0


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("array", [
    np.arange(6.0).reshape(2, 3), np.arange(6, dtype="f4").reshape(2, 3).T, np.array([True, False]), np.array(3),
    np.array([], "i4"), np.array([1 + 2j]), np.array([1, 2], "f2"), np.zeros((3, 0, 2)),
], ids=lambda a: f"{a.dtype} {a.shape}")
def test_numpy_arrays(tmp_path, array, protocol):
    found, again = read_back(tmp_path, [array, array], protocol)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype and found.shape == array.shape and found is again
    assert found.flags.c_contiguous and not found.flags.writeable


def test_numpy_arrays_share_a_type_and_scalars_are_numbers(tmp_path):
    found = read_back(tmp_path, {"a": np.ones(2), "b": np.zeros(2), "c": np.float64(0.5), "d": np.int32(-3), "e": np.bool_(1)})
    assert found["a"].dtype == found["b"].dtype == np.float64
    assert (found["c"], found["d"], found["e"]) == (0.5, -3, True) and type(found["c"]) is float and found["e"] is True


def refused(folder, tree, says, protocol=2):
    with pytest.raises(FormatError, match=says) as caught:
        read_back(folder, tree, protocol)
    assert "x.pth: data.pkl: " in str(caught.value) and len(str(caught.value)) < 1500


FOREIGN = (
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("__builtin__", "exec"), ("numpy", "load"),
    ("numpy", "fromfile"), ("torch", "load"), ("torch.storage", "_load_from_bytes"), ("operator", "attrgetter"),
    ("builtins", "getattr"), ("subprocess", "Popen"), ("numpy.core.multiarray", "frombuffer"), ("e3nn.o3", "Irreps"),
    ("torch.optim.adam", "Adam"), ("jaxpot", "load"), ("collections", "OrderedDict.update"), ("", ""),
)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("module, name", FOREIGN)
def test_other_names_are_refused(tmp_path, module, name, protocol):
    for tree in (Name(module, name), Call(Name(module, name), ("touch canary",)), {"config": [Name(module, name)]}):
        refused(tmp_path, tree, rf"asks for {module}\.{name}, which is not read: .*nothing in a file is executed", protocol)


class Reduced:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch canary",)


class Made:
    """Nothing but a foreign class."""

    def __init__(self):
        self.x = 1


FOREIGN = {
    "reduced": Reduced(), "made": Made(), "array": np.array([None, Reduced()]), "range": range(3), "complex": 2j,
    "slice": slice(1),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_objects_of_other_classes_are_refused(tmp_path, kind, protocol):
    thing = FOREIGN[kind]
    refused(tmp_path, {"state": thing}, "asks for .*, which is not read|numbers of type 'O8'", protocol)


EIGHT, LONG = Storage(bytes(32)), Storage(bytes(16000))
HOOKS = OrderedDict()
NDARRAY, RECONSTRUCT = Name("numpy", "ndarray"), Name("numpy.core.multiarray", "_reconstruct")
F4 = Call(Name("numpy", "dtype"), ("f4", False, True))


def nested(depth):
    tree = []
    for _ in range(depth):
        tree = [tree]
    return tree


def doubled(times):
    tree = ["x"]
    for _ in range(times):
        tree = [tree, tree]
    return tree


def array_of(*state, cls=NDARRAY):
    return Call(RECONSTRUCT, (cls, (0,), b"b"), state or None)


WRONG = {
    "outside: offset": (tensor(EIGHT, 8, (1,), (1,)), "does not lie within its storage of 8 numbers"),
    "outside: size": (tensor(EIGHT, 1, (8,), (1,)), "does not lie within its storage"),
    "outside: stride": (tensor(EIGHT, 0, (2, 2), (7, 2)), "does not lie within its storage"),
    "outside: huge": (tensor(EIGHT, 0, (2**62, 2**62), (2**62, 1)), "does not lie within its storage"),
    "outside: empty": (tensor(EIGHT, 9, (0,), (1,)), "does not lie within its storage"),
    "negative offset": (tensor(EIGHT, -1, (2,), (1,)), "does not lie within its storage"),
    "negative size": (tensor(EIGHT, 0, (-1,), (1,)), "sizes of a tensor: expected up to 32 whole numbers, none negative"),
    "two negative sizes": (tensor(EIGHT, 0, (-2, -2), (1, 1)), "sizes of a tensor: .*got .-2, -2"),
    "negative stride": (tensor(EIGHT, 7, (8,), (-1,)), "strides of a tensor: .*got .-1"),
    "sizes of words": (tensor(EIGHT, 0, ("8",), (1,)), "sizes of a tensor: .*got .str"),
    "sizes of bools": (tensor(EIGHT, 0, (True,), (1,)), "sizes of a tensor: .*got .bool"),
    "axes": (tensor(EIGHT, 0, (1,) * 33, (1,) * 33), "up to 32 whole numbers"),
    "missing strides": (tensor(EIGHT, 0, (2, 2), (1,)), "the sizes .2, 2. and the strides .1,."),
    "a bomb of stride 0": (tensor(EIGHT, 0, (10**12,), (0,)), "the arrays would take more than"),
    "a bomb of two": (tensor(EIGHT, 0, (10**6, 8), (0, 1)), "the arrays would take more than"),
    "an empty bomb": (tensor(EIGHT, 0, (0, 10**18, 10**18), (0, 0, 0)), "the arrays would take more than"),
    "the same again and again": ([tensor(LONG, 0, (4000,), (1,)) for _ in range(200)], "the arrays would take more than"),
    "marks": (tensor(EIGHT, 0, (8,), (1,), {"neg": True}), "marks on a tensor"),
    "a tensor of a word": (tensor("x", 0, (8,), (1,)), "_rebuild_tensor_v2: expected .Storage, int.*got .str, int"),
    "a tensor of a tensor": (tensor(tensor(EIGHT, 0, (8,), (1,)), 0, (8,), (1,)), "expected .Storage.*got .ndarray"),
    "a tensor of nothing": (Call(REBUILD, ()), r"_rebuild_tensor_v2: expected .*got \(\)"),
    "a storage as it is": (EIGHT, "holds Storage itself"),
    "storage too short": (tensor(Storage(bytes(28), count=8), 0, (8,), (1,)), "data/0 has 28 bytes; expected 8 numbers of 4"),
    "storage too long": (tensor(Storage(bytes(36), count=8), 0, (8,), (1,)), "data/0 has 36 bytes; expected 8 numbers of 4"),
    "storage of another type": (tensor(Storage(bytes(32), "Long", 8), 0, (8,), (1,)), "has 32 bytes; expected 8 numbers of 8"),
    "storage of a negative count": (tensor(Storage(b"", count=-1), 0, (0,), (1,)), "expected -1 numbers"),
    "storage of a huge count": (tensor(Storage(bytes(32), count=2**66), 0, (8,), (1,)), "expected 7378\\d* numbers"),
    "storage that is missing": (tensor(Storage(bytes(32), key="7"), 0, (8,), (1,)), "the numbers data/7 are missing"),
    "storage outside": (tensor(Storage(bytes(32), key="../byteorder"), 0, (8,), (1,)), "are missing"),
    "no storage": (tensor(Storage(bytes(32), word="module"), 0, (8,), (1,)), "expected a storage of tensors, got 'module'"),
    "complex storage": (tensor(Storage(bytes(32), "ComplexFloat"), 0, (4,), (1,)), "asks for torch.ComplexFloatStorage"),
    "a parameter of a word": (Call(Name("torch._utils", "_rebuild_parameter"), ("x", True, HOOKS)), "got .str, bool"),
    "a device of a list": (Call(Name("torch", "device"), (["cpu"],)), "torch.device: expected .str., got .list"),
    "a device of no name": (Call(Name("torch", "device"), ()), "torch.device: expected"),
    "a size of words": (Call(Name("torch", "Size"), (("a",),)), "torch.Size: expected up to 32 whole numbers"),
    "a size of a list": (Call(Name("torch", "Size"), ([1],)), "torch.Size: expected .tuple., got .list"),
    "a type is called": (Call(Name("torch", "float32"), ()), "str is called, which is not read"),
    "a storage is called": (Call(Name("torch", "FloatStorage"), (8,)), "torch.FloatStorage is called, which is not read"),
    "an array is called": (Call(NDARRAY, ((10**12,),)), "numpy.ndarray is called, which is not read"),
    "a class as a value": (NDARRAY, "holds numpy.ndarray itself"),
    "a function as a value": ([REBUILD], "holds torch._utils._rebuild_tensor_v2 itself"),
    "an array that is not built": (array_of(), "holds Unbuilt itself"),
    "a type of numbers as a value": ([F4], "holds Float32DType itself"),
    "an array of a strange class": (array_of(cls=Name("numpy", "dtype")), "an array of the class numpy.dtype"),
    "an array too short": (array_of(1, (8,), F4, False, bytes(28)), r"an array \(8,\) of float32 has 28 bytes"),
    "an array too long": (array_of(1, (8,), F4, False, bytes(36)), r"an array \(8,\) of float32 has 36 bytes"),
    "an array of negative size": (array_of(1, (-1, -8), F4, False, bytes(32)), "shape: expected .* none negative"),
    "a huge array": (array_of(1, (10**9, 10**9), F4, False, b""), "the arrays would take more than"),
    "an array of words": (array_of(1, (1,), F4, False, ["x"]), "the state of a numpy.ndarray: .*got .*list"),
    "an array of another state": (array_of(1, (1,)), "the state of a numpy.ndarray: expected"),
    "an array of objects": (np.array([None]), "numbers of type 'O8'"),
    "an array of words of NumPy": (np.array(["a"]), "numbers of type 'U1'"),
    "an array of records": (np.zeros(1, [("x", "f4")]), "numbers of type 'V4'"),
    "big-endian array": (np.ones(2, ">f4"), "numbers with the largest byte first"),
    "bytes of another code": (Call(Name("_codecs", "encode"), ("x", "rot13")), "bytes are written as 'rot13'"),
    "bytes of letters that there are not": (Call(Name("_codecs", "encode"), ("\u0410", "latin1")), "can't encode"),
    "an ordered dict of a list": (Call(Name("collections", "OrderedDict"), ([("a", 1)],)), "OrderedDict: expected .., got"),
    "a state of a dict that is none": (Call(Name("collections", "OrderedDict"), (), [1]), "expected .dict., got .list"),
    "a state of a tensor": (Call(REBUILD, tensor(EIGHT, 0, (8,), (1,)).arguments, {"data": 1}), "a state is given to ndarray"),
    "a tuple as a key": ({(1, 2): 3}, "tuple as a key"),
    "a real number as a key": ({1.5: 3}, "float as a key"),
    "keys of one hash": ({(2**61 - 1) * k: 0 for k in range(1, 9)}, "int as a key"),
    "a number of many digits": (10**700, "the step 8b is none of those"),
    "deep": (nested(100), "deeper than 100 times, or hold themselves"),
    "many of the same": (doubled(40), "more than 1000000 values"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong(tmp_path, what):
    tree, says = WRONG[what]
    refused(tmp_path, tree, says)


def test_what_holds_itself_is_refused(tmp_path):
    for tree in ([], {}, OrderedDict()):
        if isinstance(tree, list):
            tree.append([tree])
        else:
            tree["inner"] = ({"x": tree},)
        refused(tmp_path, tree, "or hold themselves")


def test_depth_and_sharing_within_bounds(tmp_path):
    assert read_back(tmp_path, nested(99)) == nested(99)
    assert read_back(tmp_path, doubled(10)) == doubled(10)
    tied = tensor(Storage(bytes(4000)), 0, (1000,), (1,))
    assert len(read_back(tmp_path, {"a": tied, "b": tied, "c": tensor(tied.arguments[0], 0, (10, 100), (100, 1))})) == 3


# Pickles by hand: (steps, what is said).
BY_HAND = {
    "no end": (b"\x80\x02N", "truncated"),
    "no bytes": (b"", "expected a pickle of protocol 2 to 5"),
    "protocol 0": (b"cos\nsystem\n(S'touch canary'\ntR.", "expected a pickle of protocol 2 to 5"),
    "protocol 1": (b"\x80\x01N.", "expected protocol 2 to 5, got 1"),
    "protocol 6": (b"\x80\x06N.", "expected protocol 2 to 5, got 6"),
    "an instance of old": (b"\x80\x02(ios\nsystem\n.", "the step 69 is none of those"),
    "an object of old": (b"\x80\x02(cos\nsystem\no.", "asks for os.system"),
    "a new object": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "the step 81 is none of those"),
    "an extension": (b"\x80\x02\x82\x01.", "the step 82 is none of those"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", "the step 97 is none of those"),
    "nothing": (b"\x80\x02.", "values left over"),
    "two values": (b"\x80\x02NN.", "values left over"),
    "an open list": (b"\x80\x02N(N.", "values left over"),
    "more behind the end": (b"\x80\x02N.N", "goes on behind its end"),
    "no mark": (b"\x80\x02Nt.", "no list of them has begun"),
    "an empty stack": (b"\x80\x02\x85.", "a value is asked for"),
    "a value below the mark": (b"\x80\x02N(\x85.", "a value is asked for"),
    "nothing to keep": (b"\x80\x02q\x00.", "there is no object"),
    "never kept": (b"\x80\x02h\x07.", "value 7 is asked for, which was not kept"),
    "items of a dict": (b"\x80\x02}Na.", "there is no list"),
    "items of a list": (b"\x80\x02]NNs.", "there is no dict"),
    "a set of a list": (b"\x80\x04\x8f(]\x90.", "list as a key"),
    "a key without a value": (b"\x80\x02}(NNNu.", "a key without a value"),
    "a call of a word": (b"\x80\x02X\x01\x00\x00\x00a)R.", "str is called"),
    "a call with a list": (b"\x80\x02ccollections\nOrderedDict\n]R.", "OrderedDict is called"),
    "a state of nothing": (b"\x80\x02N}b.", "a state is given to NoneType"),
    "a state of a plain dict": (b"\x80\x02}}b.", "a state is given to dict"),
    "a state of a function": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "a state is given to torch._utils._rebuild"),
    "a name of a number": (b"\x80\x04K\x01\x8c\x01a\x93.", "a function or class without a name"),
    "a name without end": (b"\x80\x02c" + b"a" * 5000, "expected a name of less than 1000 bytes"),
    "a long name": (b"\x80\x02c" + b"a" * 999 + b"\n" + b"b" * 999 + b"\n.", "asks for aaa"),
    "a name that acts": (b"\x80\x02cos\x1b[2J\nsystem\n.", r"asks for os\\x1b\[2J.system"),
    "a word too long": (b"\x80\x02X\xff\xff\xff\xffabc.", "truncated"),
    "a word of 2 ** 64": (b"\x80\x04\x8d" + b"\xff" * 8 + b"abc.", "truncated"),
    "bytes of 2 ** 64": (b"\x80\x04\x8e" + b"\xff" * 8 + b"abc.", "truncated"),
    "a word of no letters": (b"\x80\x02X\x01\x00\x00\x00\xff.", "decode"),
    "a persistent id of a word": (b"\x80\x02X\x01\x00\x00\x00aQ.", "a storage: expected .*got .str"),
    "steps": (b"\x80\x02" + b"N0" * 10, "the step 30 is none of those"),
    "many steps": (b"\x80\x02(" + b"N" * 300_000 + b"l.", "more than 300000 steps"),
    "many marks": (b"\x80\x02" + b"(" * 300_001, "more than 300000 steps"),
    "deep tuples": (b"\x80\x02)" + b"\x85" * 250_000 + b".", "deeper than 100 times"),
    "deep tuples as a key": (b"\x80\x02})" + b"\x85" * 250_000 + b"Ns.", "tuple as a key"),
    "an array in place of an order": (
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R(K\x03]tb.", "the largest byte first"),
    "a large pickle": (b"\x80\x02B" + struct.pack("<I", 1 << 24) + bytes(1 << 24) + b".", "expected at most 16777216"),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_pickles_by_hand(tmp_path, what):
    data, says = BY_HAND[what]
    outcome = Outcome()
    with pytest.raises(FormatError, match=says) as caught:
        read_pickle_bytes(tmp_path, data)
    assert len(str(caught.value)) < 1500
    size = (tmp_path / "x.pth").stat().st_size
    watched(partial(read_torch_archive, tmp_path / "x.pth"), size, ("x.pth",), outcome)
    assert not outcome.wrong and outcome.refused == 1


@pytest.mark.parametrize("step", [b"\x8f", b"]", b"}", b"ccollections\nOrderedDict\n)R", b"Nr\xff\xff\xff\x00"])
def test_many_steps_take_little(tmp_path, step):
    count = (300_000 - 5) // (3 if step.endswith(b"R") else 2 if step[:1] == b"N" else 1)
    data, outcome = b"\x80\x04](" + step * count + b"e.", Outcome()
    (tmp_path / "x.pth").write_bytes(zipped({"data.pkl": data}))
    watched(partial(read_torch_archive, tmp_path / "x.pth"), len(data), ("x.pth",), outcome)
    assert not outcome.wrong and outcome.accepted == 1


def test_bytes_that_are_made_again_and_again(tmp_path):
    word = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20)
    again = b"h\x00h\x01h\x02\x86R"
    data = b"\x80\x02c_codecs\nencode\nq\x00" + word + b"q\x01X\x06\x00\x00\x00latin1q\x02" + again * 50
    with pytest.raises(FormatError, match="the arrays would take more than"):
        read_pickle_bytes(tmp_path, data)


def sample():
    numbers = np.arange(12, dtype="<f4").reshape(3, 4)
    half = Storage(np.arange(8, dtype="<u2").tobytes(), "BFloat16")
    return {
        "model": OrderedDict(
            weight=tensor_of(numbers), turned=tensor(Storage(numbers.tobytes()), 0, (4, 3), (1, 4)),
            half=tensor(half, 1, (2, 3), (3, 1)), count=tensor_of(np.array(7)), mask=tensor_of(np.array([True, False])),
        ),
        "config": {"species": ["Ac", "Zr"], "shift": np.linspace(0.0, 1.0, 5, dtype="f4"), "cutoff": 5.0, "scale": np.float64(2.0),
                   "map": {89: 0, 40: 1}, "device": Call(Name("torch", "device"), ("cuda", 0)), "type": Name("torch", "float32")},
        "epoch": 600, "plain": PLAIN,
    }


def changed(**members):
    return {name: data for name, data in {**members_of(sample()), **members}.items() if data is not None}


ZIPS = {
    "empty": (b"", "expected a zip file, as torch.save writes since PyTorch 1.6"),
    "an older checkpoint": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "load an older file with PyTorch"),
    "only a head": (b"PK\x03\x04", "damaged or cut off"),
    "another zip file": (zipped({"points.npy": b"x"}), "with NAME/data.pkl: this is another zip file"),
    "no folder": (zipped({"data.pkl": b"\x80\x02N."}, folder=""), "this is another zip file"),
    "big-endian": (zipped(changed(byteorder=b"big")), "byteorder: expected 'little', .*got b'big'"),
    "compressed": (zipped(members_of(sample()), zipfile.ZIP_DEFLATED), "data.pkl: is compressed or encrypted"),
    "compressed, larger": (zipped(changed(**{"data/9": bytes(10**8)}), zipfile.ZIP_DEFLATED), "is compressed"),
    "a storage is missing": (zipped(changed(**{"data/1": None})), "the numbers data/1 are missing"),
    "a storage too short": (zipped(changed(**{"data/0": bytes(47)})), "data/0 has 47 bytes; expected 12 numbers of 4"),
    "a storage too long": (zipped(changed(**{"data/0": bytes(49)})), "data/0 has 49 bytes; expected 12 numbers of 4"),
    "two folders": (zipped({"a/data.pkl": b"\x80\x02N.", "b/data.pkl": b"\x80\x02N."}, folder=""), "there are several"),
}


@pytest.mark.parametrize("what", ZIPS)
def test_zip_files(tmp_path, what):
    data, says = ZIPS[what]
    (tmp_path / "x.pth").write_bytes(data)
    with pytest.raises(FormatError, match=says) as caught:
        read_torch_archive(tmp_path / "x.pth")
    assert "x.pth" in str(caught.value)


def test_two_files_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for data in (b"\x80\x02N.", b"\x80\x02K\x01."):
            archive.writestr("a/data.pkl", data)
    with pytest.raises(FormatError, match="two files of one name"):
        read_torch_archive(tmp_path / "x.pth")


def test_files_over_each_other(tmp_path):
    """A zip file whose list names the same bytes many times."""
    whole = zipped({"data.pkl": b"\x80\x02B" + struct.pack("<I", 5000) + bytes(5000) + b"."})
    begin = whole.index(b"PK\x01\x02")
    entry = whole[begin:whole.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"data.pkl", b"data.%03d" % k) for k in range(200))
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 200, 200, len(entries), begin, 0)
    (tmp_path / "x.pth").write_bytes(whole[:begin] + entries + end)
    with pytest.raises(FormatError, match="the files in it are larger than the zip file"):
        read_torch_archive(tmp_path / "x.pth")


def test_a_list_of_very_many_files(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04" + b"PK\x01\x02" * 100_001 + zipped({"data.pkl": b"\x80\x02N."}))
    with pytest.raises(FormatError, match="more than 100000 files"):
        read_torch_archive(tmp_path / "x.pth")
    assert not is_torch_archive(b"PK\x03\x04", str(tmp_path / "x.pth"))


def test_no_such_file_and_no_file(tmp_path):
    for path, says in ((tmp_path / "none.pth", "none.pth: cannot be read"), (tmp_path, "this is a folder")):
        with pytest.raises(FormatError, match=says):
            read_torch_archive(path)


def test_the_byte_order_may_be_missing_and_a_sample_reads_in_full(tmp_path):
    (tmp_path / "x.pth").write_bytes(zipped(changed(byteorder=None)))
    found = read_torch_archive(tmp_path / "x.pth")
    np.testing.assert_array_equal(found["model"]["turned"], np.arange(12.0).reshape(3, 4).T)
    np.testing.assert_array_equal(found["config"]["shift"], np.linspace(0.0, 1.0, 5, dtype="f4"))
    assert found["model"]["count"] == 7 and found["model"]["half"].shape == (2, 3) and found["plain"] == PLAIN
    assert found["config"]["device"] == "cuda:0" and found["config"]["map"] == {89: 0, 40: 1}


def test_recognition(tmp_path):
    path = written(tmp_path / "x.anything", sample())
    data = path.read_bytes()
    assert is_torch_archive(data[:4096], str(path))
    assert not is_torch_archive(b"", str(tmp_path)) and not is_torch_archive(b"pair_coeff", str(path))
    assert is_torch_archive(data[:4096], str(path), b"config") and not is_torch_archive(data[:4096], str(path), b"else")
    pickle = {"data.pkl": b""}
    strange = zipped({"points.npy": b""}), zipped({"deep/data.pkl": b""}), zipped(pickle, folder=""), b"PK\x03\x04"
    for other in (data[:-30], *strange):
        path.write_bytes(other)
        assert not is_torch_archive(other[:4096], str(path))
    assert not is_torch_archive(data[:4096], str(tmp_path / "none"))


def test_cuts_are_refused(tmp_path):
    path = written(tmp_path / "x.pth", sample())
    data, members = path.read_bytes(), members_of(sample())
    for k in range(0, len(data), 23):
        path.write_bytes(data[:k])
        with pytest.raises(FormatError):
            read_torch_archive(path)
    for k in range(0, len(members["data.pkl"]), 11):
        with pytest.raises(FormatError):
            read_pickle_bytes(tmp_path, members["data.pkl"][:k], **{n: d for n, d in members.items() if n != "data.pkl"})


# What pickles are made of, in the wrong place.
PIECES = [b".", b"(", b")", b"]", b"}", b"a", b"e", b"s", b"u", b"t", b"R", b"b", b"Q", b"N", b"K\xff", b"h\x00", b"q\x00",
          b"J\xff\xff\xff\xff", b"\x8a\x09" + b"\xff" * 8 + b"\x7f", b"\x85", b"\x86", b"\x87", b"\x93", b"\x94", b"\x8f",
          b"\x90", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cos\nsystem\n", b"ctorch\nSize\n", b"ctorch\nLongStorage\n",
          b"M\xff\xff", b"G\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\x88", b"C\x01x", b"X\x01\x00\x00\x00<"]


def mutated_pickle(data, rng):
    """One to three things wrong: bytes, a step put in or put over another, a step repeated."""
    for _ in range(rng.integers(1, 4)):
        a = int(rng.integers(len(data)))
        piece = PIECES[rng.integers(len(PIECES))]
        kind = rng.integers(4)
        if kind == 0:
            data = damaged(data, rng) or b"\x80"
        elif kind == 1:
            data = data[:a] + piece + data[a:]
        elif kind == 2:
            data = data[:a] + piece + data[a + len(piece):]
        else:
            data = data[:a] + bytes([data[a] ^ 1 << int(rng.integers(8))]) + data[a + 1:]
    return data


def mutants(count, seed, protocol=2):
    """Checkpoints with damage in the pickle (which the zip file vouches for), and in the zip file, in turn."""
    rng, members = np.random.default_rng(seed), members_of(sample(), protocol)
    whole = zipped(members)
    listed = whole.index(b"PK\x01\x02")
    for k in range(count):
        if k % 2:
            yield zipped({**members, "data.pkl": mutated_pickle(members["data.pkl"], rng)})
        elif k % 4:
            yield damaged(whole, rng)
        else:  # most of a zip file is numbers: the list of files, for itself
            yield whole[:listed] + damaged(whole[listed:], rng)


def fuzz(path, count, seed):
    outcome = Outcome()
    for protocol in (2, 4):
        for data in mutants(count, seed, protocol):
            path.write_bytes(data)
            before = len(outcome.wrong)
            found = watched(partial(read_torch_archive, path), len(data), (path.name,), outcome)
            if len(outcome.wrong) > before:
                outcome.wrong[-1] = (*outcome.wrong[-1], data)
            if found is not None:
                repr(found)  # which walks through all of it
            is_torch_archive(data[:4096], str(path))
    return outcome


def test_damage(tmp_path):
    outcome = fuzz(tmp_path / "x.pth", 150, seed=11)
    assert not outcome.wrong and outcome.refused > 150 and outcome.accepted > 10


@pytest.mark.slow
def test_fuzzing(tmp_path):
    outcome = fuzz(tmp_path / "x.pth", COUNT, seed=15)
    print(f"\n{outcome.tried} mutants, {outcome.refused} refused, {outcome.accepted} accepted, slowest {outcome.slowest:.2f} s, "
          f"memory {outcome.memory / 1e6:.0f} MB, {len(outcome.wrong)} wrong")
    assert not outcome.wrong, outcome.wrong[:5]
    assert outcome.tried == 2 * COUNT and outcome.refused > COUNT


# File: (where its tensors are, one of them, its shape).
CHECKPOINTS = {
    "sevennet-0/checkpoint_sevennet_0.pth": ("model_state_dict", "reduce_hidden_to_energy.linear.weight", (64,)),
    "sevennet-l3i5/checkpoint_l3i5.pth": ("model_state_dict", "reduce_hidden_to_energy.linear.weight", (64,)),
    "sevennet-mf-0/checkpoint_sevennet_mf_0.pth": ("model_state_dict", "reduce_hidden_to_energy.linear.weight", (64,)),
    "chgnet-0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar": ("model", "atom_embedding.embedding.weight", (94, 64)),
    "chgnet-0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar": ("model", "atom_embedding.embedding.weight", (94, 64)),
    "chgnet-r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar": ("model", "atom_embedding.embedding.weight", (94, 64)),
}


@pytest.mark.data
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_published_checkpoints(name):
    path = PUBLISHED / name
    part, weight, shape = CHECKPOINTS[name]
    with open(path, "rb") as file:
        assert is_torch_archive(file.read(4096), str(path))
    tree = read_torch_archive(path)
    state = tree[part].get("state_dict", tree[part])
    assert state[weight].shape == shape and state[weight].dtype == np.float32
    assert all(isinstance(array, np.ndarray) and np.isfinite(array).all() for array in state.values())
    total = sum(array.nbytes for array in state.values())
    assert 0.05 * path.stat().st_size < total < path.stat().st_size
    if name.startswith("sevennet"):
        assert len(tree["config"]["chemical_species"]) == 89 and tree["config"]["device"] == "cuda"
        assert tree["config"]["shift"].shape == ((2, 89) if "mf-0" in name else (89,))
    else:
        assert tree["model"]["model_args"]["bond_graph_cutoff"] == 3
