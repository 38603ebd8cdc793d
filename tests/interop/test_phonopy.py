"""Force constants in phonopy's files: read back as phonopy reads them, with the same frequencies."""

import itertools

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import DataError, ResourceError
from jaxpot.interop.phonopy import write_phonopy
from jaxpot.potentials import StillingerWeber

Q = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.13, -0.27, 0.41]])


@pytest.fixture(scope="module")
def silicon():
    potential = StillingerWeber.silicon()
    return potential, jp.relax(potential, bulk("Si"), cell=True).structure


def dynamical_matrix(folder, structure, q):
    """D(q) of phonopy's files by its definition: each pair at its nearest images, which share a force constant."""
    lines = (folder / "phonopy.yaml").read_text().splitlines()
    start = lines.index("supercell_matrix:") + 1
    repeats = np.diag(np.array([[int(x) for x in row.strip("- []").split(",")] for row in lines[start:start + 3]]))
    tokens = (folder / "FORCE_CONSTANTS").read_text().split()
    n, total = int(tokens[0]), int(tokens[1])
    blocks = np.array(tokens[2:], float).reshape(n, total, 11)
    assert (blocks[..., 1] == np.arange(1, total + 1)).all()
    phi = blocks[..., 2:].reshape(n, total, 3, 3)
    cell, positions, masses = map(np.asarray, (structure.cell, structure.positions, structure.masses))
    images = np.array([(x, y, z) for z, y, x in itertools.product(*(range(r) for r in repeats[::-1]))])
    around = np.array(list(itertools.product((-1, 0, 1), repeat=3))) * repeats
    matrix = np.zeros((n, 3, n, 3), complex)
    for a, b in itertools.product(range(n), repeat=2):
        for k, image in enumerate(images):
            places = image + around
            lengths = np.linalg.norm(places @ cell + positions[b] - positions[a], axis=1)
            nearest = places[lengths < lengths.min() + 1e-5]
            phase = np.exp(2j * np.pi * nearest @ q).mean()
            matrix[a, :, b, :] += phi[a, b * len(images) + k] * phase / np.sqrt(masses[a] * masses[b])
    return matrix.reshape(3 * n, 3 * n)


def frequencies(matrix):
    w2 = np.linalg.eigvalsh(matrix)
    return np.sign(w2) * np.sqrt(np.abs(w2)) / (2.0 * np.pi)


def test_every_wave_vector_has_the_same_frequencies(silicon, tmp_path):
    potential, crystal = silicon
    names = [path.name for path in jp.to_phonopy(potential, crystal, tmp_path)]
    assert names == ["phonopy.yaml", "FORCE_CONSTANTS"]
    mine = np.asarray(jp.phonons(potential, crystal, Q).frequencies) / jp.units.THz
    for q, expected in zip(Q, mine, strict=True):
        found = frequencies(dynamical_matrix(tmp_path, crystal, q)) / jp.units.THz
        np.testing.assert_allclose(found[3 * (not q.any()):], expected[3 * (not q.any()):], rtol=0, atol=1e-9)


def test_a_small_supercell_is_exact_where_it_is_commensurate(silicon, tmp_path):
    potential, crystal = silicon
    jp.to_phonopy(potential, crystal, tmp_path, supercell=(2, 1, 2))
    mine = np.asarray(jp.phonons(potential, crystal, Q[1:2]).frequencies)[0]
    np.testing.assert_allclose(frequencies(dynamical_matrix(tmp_path, crystal, Q[1])), mine, rtol=0, atol=1e-10)


def test_wrong_supercells_are_refused(silicon, tmp_path):
    potential, crystal = silicon
    constants = jp.force_constants(potential, crystal)
    with pytest.raises(DataError, match=r"supercell: expected three positive integers, got \(2, 0, 2\)"):
        write_phonopy(constants, crystal, tmp_path, (2, 0, 2))
    with pytest.raises(ResourceError, match="larger than 200 MB: give a smaller supercell"):
        write_phonopy(constants, crystal, tmp_path, (90, 90, 90))
