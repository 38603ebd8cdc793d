"""Folders of ANI: TorchANI's numbers, the formulas in plain NumPy, and everything that can be wrong with a folder.

`pytest -m slow -n 0 -s tests/formats/test_ani.py` damages 10,000 files at random.
"""

import bz2
import itertools
import json
import os
import shutil
from functools import partial
from pathlib import Path

import ase.io
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mutants import Outcome, computes, finite, mutated, watched
from tiers import thorough_but

import jaxpot as jp
from jaxpot.cli.main import main
from jaxpot.core.elements import symbol
from jaxpot.core.graph import connect
from jaxpot.data.descriptor_vectors import vectors_of
from jaxpot.descriptors import AtomicEnvironmentVectors, Descriptor
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.ani import HARTREE
from jaxpot.observables import evaluate_many
from jaxpot.potentials import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.readouts import network as networks

PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "models"
MODELS = thorough_but([], ["ani-1x", "ani-1ccx", "ani-2x"], ["ani-1x", "ani-1ccx"])  # of the elements of ani-2x

# Numbers of TorchANI ---------------------------------------------------------------------------------------------


def reference_of(name):
    reference = json.loads((PUBLISHED / name / "reference.json").read_text())
    structures = [
        jp.Structure(s["positions"], s["cell"], s["numbers"], pbc=s["pbc"]) for s in reference["structures"]
    ]
    return reference, structures, reference["results"]


def largest(found, results, what):
    return max(
        np.abs(np.asarray(getattr(own, what)) - result[what]).max()
        for own, result in zip(found, results, strict=True) if result[what] is not None
    )


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_numbers_of_torchani(name):
    """The forces of the reference are off by up to 2e-7 eV/A (see below), as its own differences of energies say."""
    reference, structures, results = reference_of(name)
    some = slice(None, None, 2 if name == "ani-1x" else 4)  # each shape is a program
    structures, results = structures[some], results[some]
    found = evaluate_many(jp.load(f"{PUBLISHED / name}/").potential, structures)
    assert largest(found, results, "energy") < 2e-11
    assert largest(found, results, "energies") < 5e-12
    assert largest(found, results, "forces") < 4e-7
    assert largest(found, results, "stress") < 1e-9


@pytest.mark.data
@pytest.mark.slow  # the numbers above are compared in every run; this is why their forces may be 4e-7 off
@pytest.mark.parametrize("name", MODELS)
def test_forces_of_torchani_with_the_slope_of_pytorch(name, monkeypatch):
    """PyTorch differentiates CELU with 1 / alpha in single precision: with that slope the forces are equal, too."""
    inverse = 1.0 / float(np.float32(0.1))
    celu = networks.ACTIVATIONS["celu"][0]

    @jax.custom_jvp
    def torch(x):
        return celu(x)

    @torch.defjvp
    def _(primals, tangents):
        slope = jnp.where(primals[0] > 0.0, 1.0, 0.1 * inverse * jnp.exp(inverse * jnp.minimum(primals[0], 0.0)))
        return torch(*primals), slope * tangents[0]

    monkeypatch.setitem(networks.ACTIVATIONS, "CELU of PyTorch", (torch, 1))

    def of_torch(term):
        if not hasattr(term, "readout"):
            return term
        network = term.readout.network
        names = tuple("CELU of PyTorch" if a == "celu" else a for a in network.activations)
        return term.replace(readout=term.readout.replace(network=network.replace(activations=names)))

    reference, structures, results = reference_of(name)
    members = []
    for k in range(reference.get("members", 8)):
        one = jp.load(PUBLISHED / name, member=k)
        members.append(evaluate_many(one.replace(terms=tuple(map(of_torch, one.terms))), structures))
    for found, expected in zip(zip(*members, strict=True), results, strict=True):
        energies = [float(member.energy) for member in found]
        np.testing.assert_allclose(energies, expected["member_energies"], rtol=0.0, atol=4e-11)
        np.testing.assert_allclose(np.mean([m.forces for m in found], 0), expected["forces"], rtol=0.0, atol=1e-12)
        if expected["stress"] is not None:
            np.testing.assert_allclose(np.mean([m.stress for m in found], 0), expected["stress"], rtol=0.0, atol=1e-14)


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_environment_vectors_of_torchani(name):
    reference, structures, _ = reference_of(name)
    descriptor = jp.load(PUBLISHED / name, member=0).terms[0].descriptor.replace(centers=None)
    listed = jp.neighbors(structures[0], descriptor.cutoff)
    vectors, weights = vectors_of(descriptor, structures[0], listed)
    expected = np.array(reference["aev_of_first_structure"])[np.asarray(listed.centers)]
    assert vectors.shape == (len(expected), 1, descriptor.dimension) and np.all(weights == 1.0)
    np.testing.assert_allclose(vectors[:, 0], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.data
def test_elements_that_are_left_out_change_no_energy():
    _, structures, results = reference_of("ani-2x")
    short = jp.load(PUBLISHED / "ani-2x", species=("O", "H"))
    assert short.potential.species == (1, 8) and short.potential.terms[0].descriptor.dimension == 2 * 16 + 3 * 32
    for structure, expected in list(zip(structures, results, strict=True))[:2]:
        found = jp.evaluate(short.potential, structure)
        assert float(found.energy) == pytest.approx(expected["energy"], abs=2e-11)
        np.testing.assert_allclose(found.forces, expected["forces"], rtol=0.0, atol=4e-7)


# A made-up model, and the formulas ---------------------------------------------------------------------------------

PARAMETERS = {
    "TM": "1", "Rcr": "4.2", "Rca": "3.1", "EtaR": [4.1], "ShfR": [0.9, 1.7, 2.6], "Zeta": [5.3],
    "ShfZ": [0.4, 1.5, 2.9], "EtaA": [2.2], "ShfA": [1.0, 2.1], "Atyp": ["H", "O"],
}
INPUTS = 2 * 3 + 3 * 2 * 3
WIDTHS = {"H": (7, 5), "O": (6, 4)}
SELF = {"H": -0.6, "O": -75.25}


def text_of(element, widths, inputs=INPUTS):
    """What an .nnf file holds."""
    text = f"inputsize={inputs};\natom_net {element} $\n"
    for k, (before, after) in enumerate(itertools.pairwise((inputs, *widths, 1)), 1):
        activation, name = 9 if k <= len(widths) else 6, f"ANN-{element}.nnf-l{k}"
        text += (
            f"layer [\nnodes={after};\nactivation={activation};\ntype=0;\nblocksize={before};\nbtchnorm=0;\n"
            f"weights=FILE:{name}.wparam[{before * after}];\nbiases=FILE:{name}.bparam[{after}];\n]\n"
        )
    return text + "\n $\0"


def packed(text):
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return b"%d=\n" % len(data) + bz2.compress(data)


def write_model(folder, members=3, sizes=WIDTHS, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    lines = [f"{k} = [{','.join(map(str, v))}]" if isinstance(v, list) else f"{k} = {v}" for k, v in PARAMETERS.items()]
    (folder / "made-up.params").write_text("\n".join(lines) + "\n")
    (folder / "sae_linfit.dat").write_text("".join(f"{e},{k}={v}\n" for k, (e, v) in enumerate(SELF.items())))
    for member, (element, widths) in itertools.product(range(members), sizes.items()):
        place = folder / f"train{member}" / "networks"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"ANN-{element}.nnf").write_bytes(packed(text_of(element, widths)))
        for k, (before, after) in enumerate(itertools.pairwise((INPUTS, *widths, 1)), 1):
            weights, biases = rng.normal(size=(after, before)) / np.sqrt(before), 0.1 * rng.normal(size=after)
            weights.astype("<f4").tofile(place / f"ANN-{element}.nnf-l{k}.wparam")
            biases.astype("<f4").tofile(place / f"ANN-{element}.nnf-l{k}.bparam")
    return folder


def vector_by_formulas(position, others, numbers):
    """One atom's vector, function by function."""
    p = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in PARAMETERS.items()}
    rr, ra = float(p["Rcr"]), float(p["Rca"])
    vectors = others - position
    distances = np.linalg.norm(vectors, axis=1)
    found = []
    for element, shift in itertools.product((1, 8), p["ShfR"]):
        r = distances[(numbers == element) & (distances < rr)]
        found.append(np.sum(0.25 * np.exp(-p["EtaR"] * (r - shift) ** 2) * 0.5 * (1.0 + np.cos(np.pi * r / rr))))
    for pair in ((1, 1), (1, 8), (8, 8)):
        near = np.flatnonzero(distances < ra)
        jk = [(j, k) for j, k in itertools.combinations(near, 2) if sorted((numbers[j], numbers[k])) == sorted(pair)]
        for shift, angle in itertools.product(p["ShfA"], p["ShfZ"]):
            total = 0.0
            for j, k in jk:
                theta = np.arccos(0.95 * vectors[j] @ vectors[k] / (distances[j] * distances[k]))
                fade = np.prod([0.5 * (1.0 + np.cos(np.pi * distances[m] / ra)) for m in (j, k)])
                radial = np.exp(-p["EtaA"] * (0.5 * (distances[j] + distances[k]) - shift) ** 2)
                total += 2.0 ** (1.0 - p["Zeta"]) * (1.0 + np.cos(theta - angle)) ** p["Zeta"] * radial * fade
            found.append(total)
    return np.array(found)


def energy_by_formulas(folder, member, positions, numbers):
    """eV, of a molecule."""
    total = 0.0
    for i, z in enumerate(numbers):
        rest = np.arange(len(numbers)) != i
        x, element = vector_by_formulas(positions[i], positions[rest], numbers[rest]), symbol(int(z))
        for k in range(1, len(WIDTHS[element]) + 2):
            name = folder / f"train{member}" / "networks" / f"ANN-{element}.nnf-l{k}"
            biases = np.fromfile(f"{name}.bparam", "<f4").astype(float)
            x = np.fromfile(f"{name}.wparam", "<f4").astype(float).reshape(len(biases), -1) @ x + biases
            if k <= len(WIDTHS[element]):
                x = np.where(x > 0.0, x, 0.1 * np.expm1(np.minimum(x, 0.0) / 0.1))
        total += x[0] + SELF[element]
    return HARTREE * total


@pytest.fixture(scope="module")
def molecule():
    rng = np.random.default_rng(2)
    grid = np.array(list(itertools.product((0.0, 1.6), repeat=3)))[:7]
    return jp.Structure(grid + 0.2 * rng.normal(size=grid.shape), np.zeros((3, 3)), [8, 1, 1, 8, 1, 8, 1], pbc=False)


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "ani")


def test_energies_by_formulas(folder, molecule):
    positions, numbers = np.asarray(molecule.positions), np.asarray(molecule.numbers)
    posterior = jp.load(folder)
    expected = [energy_by_formulas(folder, k, positions, numbers) for k in range(3)]
    for k in range(3):
        one = jp.load(folder, member=k)
        assert isinstance(one, Potential) and float(jp.energy(one, molecule)) == pytest.approx(expected[k], abs=1e-10)
    found = jp.evaluate(posterior.potential, molecule)
    assert float(found.energy) == pytest.approx(np.mean(expected), abs=1e-10)
    step = 1e-4
    for atom, axis in ((0, 1), (4, 2)):
        sides = [positions.copy() for _ in range(2)]
        sides[0][atom, axis] += step
        sides[1][atom, axis] -= step
        slope = np.subtract(*(np.mean([energy_by_formulas(folder, k, p, numbers) for k in range(3)]) for p in sides))
        assert float(found.forces[atom, axis]) == pytest.approx(-slope / (2.0 * step), rel=1e-6, abs=1e-6)


def test_bars_are_the_spread_of_the_members(folder, molecule):
    posterior = jp.load(folder)
    assert isinstance(posterior, Posterior)
    members = [jp.evaluate(jp.load(folder, member=k), molecule) for k in range(3)]
    bars = jp.std(posterior, molecule).epistemic
    for what in ("energy", "energies", "forces"):
        spread = np.std([np.asarray(getattr(m, what)) for m in members], axis=0, ddof=1)
        np.testing.assert_allclose(getattr(bars, what), spread, rtol=1e-9, atol=1e-10)


def test_whole_powers_and_neighbours_in_thin_cells(folder, molecule):
    """A whole zeta is a product; in a cell thinner than the cutoff an atom sees its images."""
    descriptor = jp.load(folder, member=0).terms[0].descriptor.replace(centers=None, zeta=8.0)
    same = descriptor.replace(zeta=np.nextafter(8.0, 9.0))
    thin = jp.Structure([[0, 0, 0], [1.1, 0.9, 1.3]], 2.7 * np.eye(3) + 0.2, ["O", "H"])
    large = thin.repeated((3, 3, 3))
    for structure, rows in ((molecule, 7), (thin, 2), (large, 54)):
        listed = jp.neighbors(structure, descriptor.cutoff, inner=(descriptor.angular_cutoff,))
        vectors = [vectors_of(d, structure, listed)[0][:rows, 0] for d in (descriptor, same)]
        np.testing.assert_allclose(*vectors, rtol=1e-12)
    own = vectors_of(descriptor, thin, jp.neighbors(thin, descriptor.cutoff))[0][:, 0]
    np.testing.assert_allclose(vectors[0].reshape(2, 27, -1), np.repeat(own[:, None], 27, axis=1), rtol=1e-10, atol=1e-13)


def test_changes_of_a_vector_by_its_neighbours(folder, molecule):
    descriptor = jp.load(folder, member=0).terms[1].descriptor
    graph = connect(molecule, jp.neighbors(molecule, descriptor.cutoff))
    environment = jax.tree.map(lambda a: a[-1], graph.environments())
    for own, other in zip(descriptor.jacobian(environment), Descriptor.jacobian(descriptor, environment), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-12)


def test_some_elements(folder, molecule):
    oxygen = jp.Structure(molecule.positions, molecule.cell, [8] * 7, pbc=False)
    whole, short = jp.load(folder, member=1), jp.load(folder, member=1, species="O")
    assert short.terms[0].readout.dimension == 3 + 6
    np.testing.assert_allclose(jp.forces(short, oxygen), jp.forces(whole, oxygen), atol=1e-12)
    with pytest.raises(DataError, match="knows H, O, not C, N"):
        jp.load(folder, species=("C", "H", "N"))


def test_one_member_is_a_potential(folder):
    shutil.rmtree(folder / "train1"), shutil.rmtree(folder / "train2")
    assert isinstance(jp.load(folder), Potential)


def test_members_that_are_not_there(folder):
    with pytest.raises(DataError, match="member: expected one of 0, 1, 2 of .*ani, got 3"):
        jp.load(folder, member=3)
    with pytest.raises(DataError, match="member: expected one of 0, 1, 2 of .*ani, got 'one'"):
        jp.load(folder, member="one")
    shutil.rmtree(folder / "train1")
    assert isinstance(jp.load(folder, member="2"), Potential)
    with pytest.raises(FormatError, match="expected a folder train1 beside train2"):
        jp.load(folder)


def test_calculator_command_and_saved_file(folder, molecule, tmp_path, capsys):
    posterior = jp.load(folder)
    atoms = jp.to_ase(molecule)
    calculator = jp.ase_calculator(posterior)
    bar = float(jp.std(posterior, molecule).epistemic.energy)
    assert calculator.get_property("energy_std", atoms) == pytest.approx(bar, rel=1e-9)
    ase.io.write(tmp_path / "molecule.xyz", atoms)
    words = ["evaluate", folder, tmp_path / "molecule.xyz", "--out", tmp_path / "out.json", "--quiet", "--no-cache"]
    for more in ((), ("--member", "1")):
        assert main([*map(str, words), *more]) == 0
        frame = json.loads((tmp_path / "out.json").read_text())["frames"][0]
        expected = jp.load(folder, member=1) if more else posterior.potential
        assert frame["energy"] == pytest.approx(float(jp.energy(expected, molecule)), abs=1e-6)  # .xyz rounds
        assert ("sd" in frame) != bool(more)
    jp.save(posterior, tmp_path / "ani.jaxpot")
    again = jp.load(tmp_path / "ani.jaxpot")
    np.testing.assert_array_equal(jp.forces(again.potential, molecule), jp.forces(posterior.potential, molecule))


# What can be wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("Rcr = 4.2", "Rcr = -4.2", "Rcr: expected a positive number"),
        ("Rcr = 4.2", "Rcr = four", "Rcr: expected a number, got 'four'"),
        ("Rcr = 4.2", "Rcr = 2.9", "angular_cutoff: expected at most 2.9 A"),
        ("Rcr = 4.2\n", "", "expected values of Rcr: they are missing"),
        ("Rcr = 4.2", "Rcr = 4.2\nRcr = 4.2", "line 3: Rcr: given before"),
        ("Rcr = 4.2", "Rcr 4.2", "expected NAME = value"),
        ("Rcr = 4.2", "Rmax = 4.2", "expected NAME = value with a name among Rcr, .*got 'Rmax'"),
        ("TM = 1", "TM = 2", "TM: expected 1, no other is supported; got '2'"),
        ("EtaR = [4.1]", "EtaR = [4.1,5.0]", "EtaR: expected one number"),
        ("EtaR = [4.1]", "EtaR = 4.1", r"EtaR: expected \[value,value\], got '4.1'"),
        ("EtaR = [4.1]", "EtaR = [nan]", "EtaR: expected a finite number"),
        ("ShfR = [0.9,", "ShfR = [0.9,,", "ShfR: expected a number, got ''"),
        ("ShfR = [0.9,", "ShfR = [", "with 21 inputs|with 22 inputs"),
        ("ShfZ = [0.4,", "ShfZ = [-0.4,", "angles: expected radians from 0 to pi"),
        ("Atyp = [H,O]", "Atyp = [H,Xy]", "Atyp: 'Xy' is not an element"),
        ("Atyp = [H,O]", "Atyp = [H,H]", "species: expected different elements"),
        ("Atyp = [H,O]", "Atyp = [O,H]", "X,place=energy of O,0 H,1; got 'H,0=-0.6'"),
        ("ShfZ = [", "ShfZ = [" + "1," * 10**6, "expected vectors of at most 1000000 components"),
    ],
)
def test_parameters_that_are_wrong(folder, old, new, said):
    path = folder / "made-up.params"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(FormatError, match=said) as caught:
        jp.load(folder)
    assert Path(caught.value.file).is_relative_to(folder)


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("H,0=-0.6\n", "", "expected energies of H: they are missing"),
        ("H,0", "H,1", "expected X,place=energy of H,0 O,1; got 'H,1=-0.6'"),
        ("H,0", "C,0", "got 'C,0=-0.6'"),
        ("H,0=-0.6", "H,0=-0.6\nH,0=-0.6", "line 2: H: given before"),
        ("-0.6", "1e300", "H: expected a number up to"),
        ("H,0=-0.6", "H -0.6", "expected X,place=energy"),
    ],
)
def test_self_energies_that_are_wrong(folder, old, new, said):
    path = folder / "sae_linfit.dat"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(FormatError, match=said) as caught:
        jp.load(folder)
    assert Path(caught.value.file) == path


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("inputsize=24", "inputsize=25", "of O with 24 inputs, the length of the vectors .* got one of O with 25"),
        ("atom_net O", "atom_net H", "got one of H with 24"),
        ("inputsize", "outputsize", "expected inputsize=...; atom_net"),
        ("nodes=6", "nodes=0", "layer 1: nodes: expected a number; got '0'"),
        ("nodes=6", "nodes=7", r"layer 1: weights: expected FILE:NAME\[168\]"),
        ("nodes=6", "nodes=9999999", "layer 1: nodes: expected at most 416666"),
        ("nodes=6;\n", "", "layer 1: nodes: expected a number; got nothing"),
        ("nodes=6;\n", "nodes=6;\nnodes=6;\n", "layer 1: expected fields name=value; each once, got 'nodes=6'"),
        ("nodes=6;\n", "nodes;\n", "layer 1: expected fields"),
        ("blocksize=6", "blocksize=5", "layer 2: blocksize: expected the 6 outputs of the layer before"),
        ("activation=6", "activation=5", r"layer 3: activation: expected 9 \(CELU\) or 6 \(none\); got '5'"),
        ("btchnorm=0", "btchnorm=1", "layer 1: btchnorm: expected 0: no other is supported; got '1'"),
        ("FILE:ANN-O.nnf-l1.wparam", "FILE:../../secret", "layer 1: weights: expected FILE:NAME"),
        ("FILE:ANN-O.nnf-l1.wparam", "FILE:..", r"networks/\.\.: cannot be read: .* this is a folder"),
        ("FILE:ANN-O.nnf-l1.wparam", "FILE:other", "networks/other: cannot be read: No such file"),
        ("FILE:ANN-O.nnf-l1.wparam", "ANN-O.nnf-l1.wparam", "layer 1: weights: expected FILE:NAME"),
        ("]\n\n $", "]\n\n", "layer 3: expected ]"),
        ("]\n\n $", "]\n $ layer [ ] $", "layer 3: expected ], and behind it another layer"),
        ("nodes=1;", "nodes=2;", r"layer 3: weights: expected FILE:NAME\[8\]"),
    ],
)
def test_layers_that_are_wrong(folder, old, new, said):
    path, text = folder / "train1" / "networks" / "ANN-O.nnf", text_of("O", WIDTHS["O"])
    assert old in text
    path.write_bytes(packed(text.replace(old, new, 1)))
    with pytest.raises(FormatError, match=said) as caught:
        jp.load(folder)
    assert folder / "train1" in Path(caught.value.file).parents


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda data: data[:-30], "it is truncated"),
        (lambda data: data[: data.index(b"=") + 20], "it is truncated"),
        (lambda data: data.replace(b"=\nBZh", b"=\nBZx"), "expected text that bz2 has compressed"),
        (lambda data: data.replace(b"=\n", b":\n", 1), "expected a length up to 1000000"),
        (lambda data: b"9" + data, "it is truncated"),
        (lambda data: b"99999" + data, "expected a length up to 1000000"),
        (lambda data: b"", "expected a length"),
        (lambda data: data + b"x", "or longer"),
        (lambda data: b"10=\n" + bz2.compress(b"0" * 10**8), "or longer"),
        (lambda data: packed("no layers $"), "expected inputsize"),
        (lambda data: packed("inputsize=24;\natom_net H $\n $"), "expected layers|expected inputsize"),
        (lambda data: packed(text_of("H", (7,))), "expected the layers of train0, .*24-7-5-1.*; got .*24-7-1|got .* bytes"),
    ],
)
def test_compressed_text_that_is_wrong(folder, damage, said):
    path = folder / "train2" / "networks" / "ANN-H.nnf"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FormatError, match=said) as caught:
        jp.load(folder)
    assert path.parent in Path(caught.value.file).parents


def test_members_of_different_layers(folder, tmp_path):
    other = write_model(tmp_path / "other", 1, {"H": (4, 3), "O": WIDTHS["O"]})
    shutil.rmtree(folder / "train2")
    (other / "train0").rename(folder / "train2")
    with pytest.raises(FormatError, match="train2.*expected the layers of train0, .*24-7-5-1.*; got .*24-4-3-1"):
        jp.load(folder)


@pytest.mark.parametrize("name", ["ANN-O.nnf-l2.wparam", "ANN-O.nnf-l2.bparam"])
def test_weights_that_are_wrong(folder, name):
    path = folder / "train1" / "networks" / name
    data = path.read_bytes()
    path.write_bytes(data[:-4])
    with pytest.raises(FormatError, match=rf"{name}: expected {len(data) // 4} numbers of 4 bytes, as ANN-O.nnf says, got"):
        jp.load(folder)
    path.write_bytes(np.float32(np.nan).tobytes() + data[4:])
    with pytest.raises(FormatError, match=f"{name}: number 1 is not finite"):
        jp.load(folder)
    path.unlink()
    with pytest.raises(FormatError, match=f"{name}: cannot be read: No such file"):
        jp.load(folder)


@pytest.mark.parametrize(
    "name, said",
    [
        ("made-up.params", "expected one .params file in this folder, got none"),
        ("sae_linfit.dat", "sae_linfit.dat: cannot be read: No such file"),
        ("train0", "expected a folder train0 beside train2"),
        ("train1/networks", "train1/networks/ANN-H.nnf: cannot be read: No such file"),
        ("train1/networks/ANN-O.nnf", "train1/networks/ANN-O.nnf: cannot be read: No such file"),
    ],
)
def test_missing_files(folder, name, said):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FormatError, match=said):
        jp.load(folder)


def test_two_files_of_parameters_and_no_members(folder):
    shutil.copy(folder / "made-up.params", folder / "a.params")
    with pytest.raises(FormatError, match="expected one .params file in this folder, got a.params, made-up.params"):
        jp.load(folder)
    (folder / "a.params").unlink()
    for k in range(3):
        shutil.rmtree(folder / f"train{k}")
    with pytest.raises(FormatError, match="expected a folder train0"):
        jp.load(folder)


@pytest.mark.parametrize(
    "name", ["made-up.params", "sae_linfit.dat", "train1", "train1/networks/ANN-O.nnf", "train1/networks/ANN-O.nnf-l1.wparam"]
)
def test_links_out_of_the_folder(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="link to another folder"):
        jp.load(folder)


def test_links_in_a_circle_and_pipes(folder):
    path = folder / "train0" / "networks" / "ANN-O.nnf-l1.wparam"
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(FormatError, match="wparam: cannot be read"):
        jp.load(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FormatError, match="a pipe or a device"):
        jp.load(folder)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"species": ()}, "species: expected different elements"),
        ({"cutoff": -1.0}, "cutoff: expected a positive length"),
        ({"eta": 0.0}, "eta: expected a positive number"),
        ({"shifts": ()}, "shifts: expected at least one number"),
        ({"angles": (4.0,)}, "angles: expected radians"),
        ({"angular_cutoff": 9.0}, "angular_cutoff: expected at most 4 A"),
    ],
)
def test_descriptors_without_meaning(changes, said):
    vectors = AtomicEnvironmentVectors(("H",), 4.0, 4.0, (1.0, 2.0), 3.0, 2.0, (1.0,), 8.0, (0.5, 1.5))
    assert vectors.dimension == 4 and vectors.species == (1,) and "4" in repr(vectors)
    with pytest.raises(DataError, match=said):
        vectors.replace(**changes)


# Damage at random --------------------------------------------------------------------------------------------------


def mutant(path, data, rng):
    """Damaged bytes: of an .nnf file, half of the time, a damaged text that is compressed as it should be."""
    if path.suffix == ".nnf" and rng.random() < 0.5:
        return packed(mutated(bz2.decompress(data[data.index(b"\n") + 1 :]), rng))
    return mutated(data, rng)


def damage(folder, count, seed, keep=0):
    """(outcome, what was accepted and computes) of files damaged one at a time."""
    rng, outcome = np.random.default_rng(seed), Outcome()
    whole = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    text = [path for path in whole if path.suffix in (".params", ".dat", ".nnf")]
    for _ in range(count):
        path = list(whole)[rng.integers(len(whole))] if rng.random() < 0.2 else text[rng.integers(len(text))]
        data = mutant(path, whole[path], rng)
        path.write_bytes(data)
        names = (*(p.name for p in whole), folder.name)
        potential = watched(partial(jp.load, folder, member=0), len(data), names, outcome)
        if potential is not None and not finite(potential):
            outcome.wrong.append(("not finite", path, data))
        if potential is not None and data != whole[path] and outcome.computed < keep and not computes(potential, outcome):
            outcome.wrong.append(("no energy or forces", path, data))
        path.write_bytes(whole[path])
    return outcome


def test_damage(tmp_path):
    outcome = damage(write_model(tmp_path / "ani", members=1), 150, 11)
    assert not outcome.wrong and outcome.refused > 60 and outcome.accepted > 10


@pytest.mark.slow
def test_fuzzing(tmp_path):
    outcome = damage(write_model(tmp_path / "ani", members=1), 10_000, 15, keep=100)
    print(
        f"\n{outcome.tried} mutants, {outcome.refused} refused, {outcome.accepted} accepted, slowest {outcome.slowest:.2f} s, "
        f"memory {outcome.memory / 1e6:.0f} MB; {outcome.computed} computed, of which {outcome.declined} refused"
    )
    assert not outcome.wrong, (len(outcome.wrong), outcome.wrong[:5])
