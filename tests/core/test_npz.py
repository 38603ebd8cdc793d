"""Headers of arrays: what NumPy writes is read, and nothing else, in no time."""

import io
import time

import numpy as np
import pytest

from jaxpot.core.npz import array_header


def header(text):
    data = text.encode()
    return io.BytesIO(b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data)


@pytest.mark.parametrize("array", [np.zeros(()), np.zeros(3, "f4"), np.zeros((2, 0, 5), "i8"), np.zeros((2, 3)).T])
def test_what_numpy_writes(array):
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    assert array_header(file) == (array.dtype, array.ndim > 1 and not array.flags.c_contiguous, array.shape)
    assert file.read() == array.tobytes("A")


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (5, " + "9" * 4000 + "), }",  # matched in many ways once
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9, " * 1500 + "x), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f7', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (3,), }",
        "",
    ],
)
def test_anything_else_is_refused_at_once(text):
    start = time.perf_counter()
    with pytest.raises(ValueError):
        array_header(header(text))
    assert time.perf_counter() - start < 1.0
