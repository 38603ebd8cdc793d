"""CHGNet's checkpoints: its numbers, a small one beside sums over bonds in NumPy, and what is not read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tiers import thorough_but
from torch_files import tensor_of, written

import jaxpot as jp
from jaxpot.core.neighbors import find_pairs
from jaxpot.errors import DataError, FormatError
from jaxpot.potentials import CHGNet

PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "models"
FILES = {
    "chgnet-0.3.0": "chgnet_0.3.0_e29f68s314m37.pth.tar",
    "chgnet-0.2.0": "chgnet_0.2.0_e30f77s348m32.pth.tar",
    "chgnet-r2scan": "chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
}
QUICK = ("NaCl8",)  # all that is compiled takes ten seconds for each shape


@pytest.mark.data
@pytest.mark.parametrize("name", thorough_but(["chgnet-0.3.0"], FILES))
def test_numbers_of_chgnet(name, names=QUICK):
    """Made in double precision: they agree to rounding."""
    potential = jp.load(PUBLISHED / name / FILES[name])
    reference = json.loads((PUBLISHED / name / "reference.json").read_text())
    for where, expected in zip(reference["structures"], reference["results"], strict=True):
        if where["name"] in names:
            structure = jp.Structure(where["positions"], where["cell"], where["numbers"], pbc=where["pbc"])
            values = jp.evaluate(potential, structure)
            assert float(values.energy) == pytest.approx(expected["energy"], abs=5e-13), where["name"]
            np.testing.assert_allclose(values.forces, expected["forces"], atol=2e-12)
            np.testing.assert_allclose(values.stress, expected["stress"], atol=1e-13)
            np.testing.assert_allclose(potential.magnetic_moments(structure), expected["magmoms"], atol=1e-13)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_all_numbers_of_chgnet(name):
    reference = json.loads((PUBLISHED / name / "reference.json").read_text())
    test_numbers_of_chgnet(name, [where["name"] for where in reference["structures"]])


# A small checkpoint: three updates of atoms, so that an updated angle is read once.
ELEMENTS, CHANNELS, RADIAL, WAVES, HOPS = 14, 3, 2, 1, 3
SETTINGS = {
    "n_conv": HOPS, "atom_graph_cutoff": 4.0, "bond_graph_cutoff": 2.8, "cutoff_coeff": 5, "update_bond": True,
    "update_angle": True, "read_out": "ave", "mlp_first": True, "is_intensive": True, "non_linearity": "silu",
    "gMLP_norm": "layer", "readout_norm": "layer", "composition_model": "MPtrj",
}
BIASED = {"gMLP_norm": None, "readout_norm": None}  # as 0.2.0


def state(norm=True):
    """Weights by name, float32 as in a file: with norms and without biases of sums, or the other way round."""
    rng = np.random.default_rng(5)
    arrays = {
        "composition_model.fc.weight": (1, ELEMENTS), "atom_embedding.embedding.weight": (ELEMENTS, CHANNELS),
        "bond_embedding.weight": (CHANNELS, RADIAL), "bond_weights_ag.weight": (CHANNELS, RADIAL),
        "bond_weights_bg.weight": (CHANNELS, RADIAL), "angle_embedding.weight": (CHANNELS, 1 + 2 * WAVES),
        "site_wise.weight": (1, CHANNELS), "site_wise.bias": (1,), "mlp.layers.0.weight": (4, CHANNELS),
        "mlp.layers.0.bias": (4,), "mlp.layers.3.weight": (1, 4), "mlp.layers.3.bias": (1,),
    }

    def normed(name, width):
        if norm:
            arrays.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    def gated(name, inputs, numbers):
        for k, branch in enumerate(("mlp_core", "mlp_gate")):
            width = inputs
            for number in numbers:
                arrays[f"{name}.{branch}.layers.{number}.weight"] = (CHANNELS, width)
                arrays[f"{name}.{branch}.layers.{number}.bias"] = (CHANNELS,)
                width = CHANNELS
            normed(f"{name}.bn{k + 1}", CHANNELS)

    normed("readout_norm", CHANNELS)
    for hop in range(HOPS):
        gated(f"atom_conv_layers.{hop}.twoBody_atom", 3 * CHANNELS, (0, 3))
        arrays[f"atom_conv_layers.{hop}.mlp_out.layers.1.weight"] = (CHANNELS, CHANNELS)
    for hop in range(HOPS - 1):
        gated(f"bond_conv_layers.{hop}.twoBody_bond", 4 * CHANNELS, (0, 3))
        arrays[f"bond_conv_layers.{hop}.mlp_out.layers.1.weight"] = (CHANNELS, CHANNELS)
        gated(f"angle_layers.{hop}.twoBody_bond", 4 * CHANNELS, (1,))
    if not norm:
        arrays |= {name.replace("weight", "bias"): (CHANNELS,) for name in arrays if "mlp_out" in name}
    drawn = {name: rng.normal(size=shape).astype(np.float32) for name, shape in arrays.items()}
    waves = {"bond_basis_expansion.rbf_expansion_ag": [3.1, 6.4], "bond_basis_expansion.rbf_expansion_bg": [3.2, 6.2],
             "angle_basis_expansion.fourier_expansion": [1.1]}
    return drawn | {f"{name}.frequencies": np.array(values, np.float32) for name, values in waves.items()}


def checkpoint(folder, arrays, settings):
    tensors = {name: tensor_of(array) for name, array in arrays.items()}
    model = {"state_dict": tensors, "model_args": settings}
    return written(folder / "small.pth.tar", {"model": model, "optimizer": {"lr": 0.01}})


def silu(x):
    return x / (1.0 + np.exp(-x))


class BondByBond:
    """The small checkpoint for one structure, a bond and an angle at a time."""

    def __init__(self, arrays, structure):
        self.w = {name: array.astype(float) for name, array in arrays.items()}
        positions, cell = np.asarray(structure.positions), np.asarray(structure.cell)
        self.numbers = np.asarray(structure.numbers)
        self.bonds = []
        for i, j, shift, r in zip(*find_pairs(positions, cell, structure.pbc, 4.0), strict=True):
            if r < 4.0:
                there = (int(i), int(j), tuple(int(s) for s in shift))
                self.bonds.append((there, positions[j] + shift @ cell - positions[i], r))
        self.near = [k for k, (_, _, r) in enumerate(self.bonds) if r < 2.8]
        place = {there: k for k, (there, _, _) in enumerate(self.bonds)}
        self.back = [place[j, i, tuple(-s for s in shift)] for (i, j, shift), _, _ in self.bonds]

    def linear(self, name, x):
        return self.w[f"{name}.weight"] @ x + self.w.get(f"{name}.bias", 0.0)

    def normed(self, name, x):
        if f"{name}.weight" not in self.w:
            return x
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def gated(self, name, *parts):
        found = []
        for k, branch in enumerate(("mlp_core", "mlp_gate")):
            x = np.concatenate(parts)
            if f"{name}.{branch}.layers.1.weight" in self.w:
                x = self.linear(f"{name}.{branch}.layers.1", x)
            else:
                x = self.linear(f"{name}.{branch}.layers.3", silu(self.linear(f"{name}.{branch}.layers.0", x)))
            found.append(self.normed(f"{name}.bn{k + 1}", x))
        return silu(found[0]) / (1.0 + np.exp(-found[1]))

    def radial(self, r, which, cutoff):
        x = r / cutoff
        fade = 1.0 - 21.0 * x**5 + 35.0 * x**6 - 15.0 * x**7
        waves = self.w[f"bond_basis_expansion.rbf_expansion_{which}.frequencies"]
        return np.sqrt(2.0 / cutoff) * np.sin(waves * x) / r * fade

    def angle(self, one, other):
        a, b = (self.bonds[k][1] / self.bonds[k][2] for k in (one, other))
        phase = self.w["angle_basis_expansion.fourier_expansion.frequencies"] * np.arccos((1.0 - 1e-6) * (a @ b))
        basis = np.concatenate([[np.sqrt(0.5)], np.sin(phase), np.cos(phase)]) / np.sqrt(np.pi)
        return self.linear("angle_embedding", basis)

    def values(self):
        """Energies of atoms, and magnetic moments."""
        v = [self.w["atom_embedding.embedding.weight"][z - 1] for z in self.numbers]
        of_length = [self.radial(r, "ag", 4.0) for _, _, r in self.bonds]
        b = [self.linear("bond_embedding", x) for x in of_length]
        pairs = [
            (k, m) for k in self.near for m in self.near if k != m and self.bonds[k][0][0] == self.bonds[m][0][0]
        ]
        a = {pair: self.angle(*pair) for pair in pairs}
        short = {k: self.linear("bond_weights_bg", self.radial(self.bonds[k][2], "bg", 2.8)) for k in self.near}
        for hop in range(HOPS):
            moments = [abs(self.linear("site_wise", x)[0]) for x in v]
            sums = np.zeros((len(v), CHANNELS))
            for k, ((i, j, _), _, _) in enumerate(self.bonds):
                message = self.gated(f"atom_conv_layers.{hop}.twoBody_atom", v[i], b[k], v[j])
                sums[i] += message * self.linear("bond_weights_ag", of_length[k])
            v = [x + self.linear(f"atom_conv_layers.{hop}.mlp_out.layers.1", y) for x, y in zip(v, sums, strict=True)]
            if hop == HOPS - 1:
                break
            sums = np.zeros((len(b), CHANNELS))
            for k, m in pairs:
                center = v[self.bonds[k][0][0]]
                message = self.gated(f"bond_conv_layers.{hop}.twoBody_bond", b[k], b[m], a[k, m], center)
                sums[k] += message * short[k] * short[m]
            if pairs:
                b = [
                    x + self.linear(f"bond_conv_layers.{hop}.mlp_out.layers.1", sums[k] + sums[self.back[k]])
                    for k, x in enumerate(b)
                ]
            for k, m in pairs:
                center = v[self.bonds[k][0][0]]
                a[k, m] = a[k, m] + self.gated(f"angle_layers.{hop}.twoBody_bond", b[k], b[m], a[k, m], center)
        v = [self.normed("readout_norm", x) for x in v]
        sites = [self.linear("mlp.layers.3", silu(self.linear("mlp.layers.0", x)))[0] for x in v]
        return np.array(sites) + self.w["composition_model.fc.weight"][0, self.numbers - 1], np.array(moments)


def quartz_like():
    rng = np.random.default_rng(0)
    cell = 3.2 * np.eye(3) + rng.normal(scale=0.2, size=(3, 3))
    return jp.Structure(rng.uniform(size=(3, 3)) @ cell, cell, [14, 8, 8])


@pytest.mark.parametrize("norm", [True, False])
def test_a_small_checkpoint_bond_by_bond(tmp_path, norm):
    """Cells are thinner than the cutoff, so that atoms are bound to images of themselves."""
    arrays, structure = state(norm), quartz_like()
    potential = jp.load(checkpoint(tmp_path, arrays, SETTINGS if norm else SETTINGS | BIASED))
    assert potential.hops == 3 and potential.reach == 12.0 and potential.kinks == (2.8, 4.0)
    assert potential.smoothness == (2 if norm else -1) and potential.species == tuple(range(1, 15))
    energies, moments = BondByBond(arrays, structure).values()
    np.testing.assert_allclose(jp.site_energies(potential, structure), energies, atol=1e-11)
    np.testing.assert_allclose(potential.magnetic_moments(structure), moments, atol=1e-11)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("distance", [2.5, 3.5, 5.0])
def test_structures_without_angles(tmp_path, norm, distance):
    """The biases of bonds are added where there is any angle, and those of atoms always."""
    arrays = state(norm)
    potential = jp.load(checkpoint(tmp_path, arrays, SETTINGS if norm else SETTINGS | BIASED))
    pair = jp.Structure([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]], np.zeros((3, 3)), [14, 8], pbc=False)
    energies, moments = BondByBond(arrays, pair).values()
    np.testing.assert_allclose(jp.site_energies(potential, pair), energies, atol=1e-11)
    np.testing.assert_allclose(potential.magnetic_moments(pair), moments, atol=1e-11)


def test_chunks_give_the_same(tmp_path, monkeypatch):
    """What is computed in one piece and what is computed in chunks, of which the last is filled up."""
    potential, structure = jp.load(checkpoint(tmp_path, state(), SETTINGS)), quartz_like().repeated((3, 1, 1))
    expected = jp.site_energies(potential, structure)
    monkeypatch.setattr(CHGNet, "chunk_elements", 200)
    found = jp.site_energies(potential.replace(cutoff=4.0 + 1e-15), structure)  # another program
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_magnetic_moments_that_there_are_not(tmp_path):
    with pytest.raises(DataError, match="has no magnetic moments"):
        CHGNet.random(0, ["O"], hops=2).magnetic_moments(quartz_like())
    with pytest.raises(DataError, match="unknown to this model: Fe"):
        jp.load(checkpoint(tmp_path, state(), SETTINGS)).magnetic_moments(quartz_like().replace(numbers=[26, 8, 8]))


def test_updates_that_do_not_fit():
    potential = CHGNet.random(0, ["O"], channels=3)
    with pytest.raises(DataError, match="3 updates of atoms need 2 of bonds and 1 of angles; there are 1 and 1"):
        potential.replace(bonds=potential.bonds[:1])
    with pytest.raises(DataError, match="bonds: expected updates with weights of the same shapes"):
        potential.replace(bonds=(potential.bonds[0], potential.bonds[1].replace(bias=(np.zeros(3),))))
    with pytest.raises(DataError, match="short: expected more than 0 and at most the cutoff"):
        potential.replace(short=7.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"update_angle": False}, "update_angle=False is not read; expected True"),
        ({"mlp_first": False}, "mlp_first=False is not read"),
        ({"non_linearity": "tanh"}, "non_linearity='tanh' is not read; expected 'silu'"),
        ({"read_out": "attn"}, "read_out='attn' is not read"),
        ({"gMLP_norm": "batch"}, "gMLP_norm='batch' is not read; expected 'layer' or None"),
        ({"cutoff_coeff": None}, "expected a positive number as cutoff_coeff, got None"),
        ({"atom_graph_cutoff": -1.0}, "expected a positive number as atom_graph_cutoff"),
        ({"bond_graph_cutoff": 5.0}, "bond_graph_cutoff=5.0 is longer than atom_graph_cutoff=4.0"),
        ({"n_conv": 1}, "expected a whole number of at least 2 as n_conv"),
        ({"n_conv": 4}, "weights atom_conv_layers.3.*: no layers"),
    ],
)
def test_other_architectures(tmp_path, changes, message):
    with pytest.raises(FormatError, match=message):
        jp.load(checkpoint(tmp_path, state(), SETTINGS | changes))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("bond_embedding.weight", None, "expected 3x2 numbers, got nothing"),
        ("bond_embedding.weight", np.zeros((3, 5), np.float32), r"expected 3x2 numbers, got \(3, 5\)"),
        ("composition_model.fc.weight", np.full((1, 14), np.nan, np.float32), "not finite"),
        ("atom_embedding.embedding.weight", np.zeros((119, 3), np.float32), "119 elements"),
        ("atom_conv_layers.1.twoBody_atom.mlp_core.layers.3.weight", np.zeros((3, 4), np.float32), "expected 3x3"),
        ("mlp.layers.3.weight", np.zeros((2, 4), np.float32), r"expected 1x4 numbers, got \(2, 4\)"),
        ("readout_norm.bias", np.zeros(2, np.float32), "expected 3 numbers"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, name, array, message):
    arrays = state()
    changed = {**arrays, name: array} if array is not None else {k: v for k, v in arrays.items() if k != name}
    with pytest.raises(FormatError, match=message):
        jp.load(checkpoint(tmp_path, changed, SETTINGS))


def test_updates_of_different_shapes(tmp_path):
    """A bias in one update and none in the next."""
    arrays = state() | {"bond_conv_layers.0.mlp_out.layers.1.bias": np.ones(3, np.float32)}
    with pytest.raises(FormatError, match="bonds: expected updates with weights of the same shapes"):
        jp.load(checkpoint(tmp_path, arrays, SETTINGS))


def test_a_checkpoint_of_another_program(tmp_path):
    with pytest.raises(FormatError, match="not recognised"):
        jp.load(written(tmp_path / "x.pth.tar", {"model": {"state_dict": {}}, "epoch": 3}))
    with pytest.raises(FormatError, match="expected a checkpoint of CHGNet"):
        jp.load(written(tmp_path / "x.pth.tar", {"model": {"state_dict": {}}, "bond_graph_cutoff": 3}))
    model = {"state_dict": {}, "model_args": ["bond_graph_cutoff"]}
    with pytest.raises(FormatError, match="model_args: expected settings, got list"):
        jp.load(written(tmp_path / "x.pth.tar", {"model": model}))
