"""Nequix models: its numbers, a small one beside a sum over edges in NumPy, and what is not read."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from test_sevennet import QUICK, check_numbers, quartz_like
from tiers import thorough_but

import jaxpot as jp
from jaxpot.core.neighbors import find_pairs
from jaxpot.errors import FormatError

PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "models"
SILU = 1.6765620560798837
NAMES = ("nequix-mp-1", "nequix-oam-1", "nequix-oam-1-pft")


@pytest.mark.data
@pytest.mark.parametrize("name", thorough_but([], NAMES))
def test_numbers_of_nequix(name, every=False):
    folder = PUBLISHED / name
    check_numbers(jp.load(next(folder.glob("*.nqx"))), folder / "reference.json", None if every else QUICK[:1])


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_all_numbers_of_nequix(name):
    test_numbers_of_nequix(name, every=True)


# A small model: two elements, two hops, scalars and vectors.
CUTOFF, SCALARS, VECTORS, WIDTH, COUNT, NEIGHBORS = 4.0, 3, 2, 5, 2, 6.25
SHAPES = [
    (2,), (COUNT, WIDTH), (WIDTH, WIDTH), (WIDTH, 2 + 2), (2, 2), (2, SCALARS + VECTORS), (2, VECTORS),
    (2, SCALARS + VECTORS), (SCALARS + VECTORS,), (VECTORS,),
    (COUNT, WIDTH), (WIDTH, WIDTH), (WIDTH, SCALARS + VECTORS), (SCALARS, SCALARS), (VECTORS, VECTORS),
    (SCALARS + VECTORS, SCALARS), (SCALARS, SCALARS), (SCALARS,), (SCALARS, 1),
]


def settings(**changes):
    return {
        "cutoff": CUTOFF, "atomic_numbers": [8, 14], "hidden_irreps": "3x0e + 2x1o", "lmax": 1, "n_layers": 2,
        "radial_basis_size": COUNT, "radial_mlp_size": WIDTH, "radial_mlp_layers": 2, "radial_polynomial_p": 6.0,
        "avg_n_neighbors": NEIGHBORS, "scale": 0.8, "shift": 0.2, "index_weights": False, "layer_norm": True, **changes,
    }


def arrays():
    rng = np.random.default_rng(5)
    return [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]


def written(path, table, values, end=b"\n"):
    file = io.BytesIO()
    file.write(json.dumps(table).encode() + b"\n")
    for array in values:
        np.lib.format.write_array(file, array, (1, 0))
    path.write_bytes(file.getvalue() + end)
    return path


def silu(x):
    return SILU * x / (1.0 + np.exp(-x))


def energy_by_edges(values, structure):
    """E of the small model, edge by edge; one vector product of scalars, one scalar product of vectors."""
    w = [a.astype(float) for a in values]
    element = np.array([[8, 14].index(int(z)) for z in structure.numbers])
    positions, cell = np.asarray(structure.positions), np.asarray(structure.cell)
    pairs = find_pairs(positions, cell, structure.pbc, CUTOFF)
    centers, others, shifts, r = (column[pairs[3] < CUTOFF] for column in pairs)
    unit = (positions[others] + shifts @ cell - positions[centers]) / r[:, None]
    x = r / CUTOFF
    envelope = 1.0 - 28.0 * x**6 + 48.0 * x**7 - 21.0 * x**8
    radial = 2.0 / CUTOFF * np.sin(np.outer(r, np.pi / CUTOFF * np.array([1, 2]))) * (envelope / r)[:, None]

    def weights(a, b, c):
        """Of messages; this silu is not normalised."""
        return silu(silu(radial @ a) / SILU @ b) / SILU @ c

    n, root = len(structure), np.sqrt(NEIGHBORS)
    hot = np.eye(2)[element]
    shown, radials = hot @ w[4] / np.sqrt(2.0), weights(*w[1:4])
    sums, along = np.zeros((n, 2)), np.zeros((n, 3, 2))
    np.add.at(sums, centers, radials[:, :2] * shown[others])
    np.add.at(along, centers, np.sqrt(3.0) * unit[:, :, None] * (radials[:, 2:] * shown[others])[:, None])
    scalars = (sums / root) @ w[5] / np.sqrt(2.0) + hot @ w[7] / np.sqrt(2.0)
    vectors = (along / root) @ w[6] / np.sqrt(2.0)
    mean = (np.sum(scalars**2, 1) + np.sum(vectors**2, (1, 2)) / 9.0) / 2.0
    scalars = w[8] * scalars / np.sqrt(mean + 1e-12)[:, None]
    vectors = w[9] * vectors / np.sqrt(mean + 1e-12)[:, None, None]
    acted = silu(scalars)
    s, v = acted[:, :SCALARS], acted[:, None, SCALARS:] * vectors
    shown, turned = s @ w[13] / np.sqrt(SCALARS), v @ w[14] / np.sqrt(VECTORS)
    radials = weights(*w[10:13])
    dot = np.einsum("eau,ea->eu", turned[others], unit)
    sums = np.zeros((n, SCALARS + VECTORS))
    np.add.at(sums, centers, np.concatenate([radials[:, :SCALARS] * shown[others], radials[:, SCALARS:] * dot], 1))
    last = (sums / root) @ w[15] / np.sqrt(SCALARS + VECTORS) + s @ w[16] / np.sqrt(SCALARS)
    last = w[17] * last / np.sqrt(np.sum(last**2, 1) + 1e-12)[:, None]
    return np.sum(0.8 * (silu(last) @ w[18])[:, 0] / np.sqrt(SCALARS) + 0.2 + w[0][element])


@pytest.mark.parametrize("end", [b"\n", b"", b"left-over configuration"])
def test_a_small_model_edge_by_edge(tmp_path, end):
    values, structure = arrays(), quartz_like()
    potential = jp.load(written(tmp_path / "small.nqx", settings(), values, end))
    assert potential.hops == 2 and potential.smoothness == 2 and potential.kinks == (4.0,)
    assert float(jp.energy(potential, structure)) == pytest.approx(energy_by_edges(values, structure), abs=1e-11)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index_weights": True}, "index_weights=True is not read; expected False"),
        ({"layer_norm": False}, "layer_norm=False is not read"),
        ({"hidden_irreps": "3x0e + 2x1e"}, "hidden_irreps '3x0e . 2x1e' are not read"),
        ({"hidden_irreps": "3x0e + 4x1o"}, r"expected numbers \(2, 7\), got float32 \(2, 5\)"),
        ({"atomic_numbers": [14, 8]}, "ascending"),
        ({"atomic_numbers": [8, 140]}, "atomic_numbers are not those of elements"),
        ({"atomic_numbers": [[8]]}, "atomic_numbers are not those of elements"),
        ({"atomic_numbers": ["O"]}, "atomic_numbers are not those of elements"),
        ({"lmax": 9}, "lmax=9 is not read; expected 0 to 8"),
        ({"cutoff": "4"}, "setting cutoff is missing or not what it should be: '4'"),
        ({"cutoff": 0.0}, "expected a positive"),
        ({"n_layers": 1000000000}, "the array cannot be read"),
        ({"n_layers": -1}, "expected a positive"),
    ],
)
def test_other_architectures(tmp_path, changes, message):
    with pytest.raises(FormatError, match=message):
        jp.load(written(tmp_path / "x.nqx", settings(**changes), arrays()))


def test_settings_that_nest(tmp_path):
    path = tmp_path / "x.nqx"
    path.write_bytes(json.dumps(settings())[:-1].encode() + b', "x": ' + b"[" * 300_000 + b"\n")
    with pytest.raises(FormatError, match="the first line is not JSON"):
        jp.load(path)


def test_damage(tmp_path):
    path = written(tmp_path / "x.nqx", settings(), arrays())
    data = path.read_bytes()
    line = data.index(b"\n")
    for changed, message in (
        (data[:-60], "the file ends within it|cannot be read"),
        (data[: line + 1], "atom_energies: the array cannot be read"),
        (data.replace(b"'<f4'", b"'|O' ", 1), "cannot be read|expected numbers"),
        (data.replace(b'"cutoff": 4.0', b'"cutoff": 4.0.'), "the first line is not JSON"),
    ):
        path.write_bytes(changed)
        with pytest.raises(FormatError, match=message):
            jp.load(path)
