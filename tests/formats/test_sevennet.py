"""SevenNet's checkpoints: its numbers, a small one beside a sum over edges in NumPy, and what is not read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tiers import thorough_but
from torch_files import Call, Name, tensor_of, written

import jaxpot as jp
from jaxpot.core.neighbors import find_pairs
from jaxpot.errors import DataError, FormatError

PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "models"
SILU = 1.6791767923989418
FILES = {
    "sevennet-0": ("sevennet-0/checkpoint_sevennet_0.pth", {}, "sevennet-0/reference.json"),
    "l3i5": ("sevennet-l3i5/checkpoint_l3i5.pth", {}, "sevennet-l3i5/reference.json"),
    "mf-0, PBE": (
        "sevennet-mf-0/checkpoint_sevennet_mf_0.pth", {"modality": "PBE"}, "sevennet-mf-0/reference_PBE.json"
    ),
    "mf-0, r2SCAN": (
        "sevennet-mf-0/checkpoint_sevennet_mf_0.pth", {"modality": "R2SCAN"}, "sevennet-mf-0/reference_R2SCAN.json"
    ),
}
QUICK = ("NaCl8", "Ti4_hcp", "GaAs8", "TiO2_rutile6", "isolated_Na")  # of few shapes


@pytest.mark.data
@pytest.mark.parametrize("name", thorough_but(["sevennet-0"], FILES))
def test_numbers_of_sevennet(name, every=False):
    file, options, reference = FILES[name]
    some = QUICK if name == "sevennet-0" else QUICK[:1]  # each shape is a program
    check_numbers(jp.load(PUBLISHED / file, **options), PUBLISHED / reference, None if every else some)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_all_numbers_of_sevennet(name):
    test_numbers_of_sevennet(name, every=True)


def check_numbers(potential, path, names=None):
    """Compare with a file of references, made in double precision: they agree to rounding."""
    reference = json.loads(path.read_text())
    for where, expected in zip(reference["structures"], reference["results"], strict=True):
        if names is None or where["name"] in names:
            structure = jp.Structure(where["positions"], where["cell"], where["numbers"], pbc=where["pbc"])
            values = jp.evaluate(potential, structure)
            assert float(values.energy) == pytest.approx(expected["energy"], abs=1e-12), where["name"]
            np.testing.assert_allclose(values.forces, expected["forces"], atol=2e-13)
            if expected.get("stress") is not None:
                np.testing.assert_allclose(values.stress, expected["stress"], atol=1e-14)


# A small checkpoint: two elements, two hops, scalars and vectors.
SYMBOLS, CUTOFF, ONSET, SCALARS, VECTORS, HIDDEN = (8, 14), 4.0, 3.5, 3, 2, 4
PATHS = (
    ((0, 0, 0), (0, 1, 1)),
    ((0, 0, 0), (1, 1, 0)),  # nothing but scalars leaves the last hop
)


def settings(**changes):
    device = Call(Name("torch", "device"), ("cpu",))
    return {
        "_model_type": "E3_equivariant_model", "version": "0.9.1", "_type_map": {8: 0, 14: 1}, "cutoff": CUTOFF,
        "irreps_manual": ["3x0e", "3x0e+2x1e", "3x0e"], "lmax": 1, "lmax_edge": -1, "is_parity": False,
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 2}, "act_radial": "silu",
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": ONSET}, "act_gate": {"e": "silu", "o": "tanh"},
        "act_scalar": {"e": "silu", "o": "tanh"}, "self_connection_type": "linear", "interaction_type": "nequip",
        "device": device, "use_bias_in_linear": False, "readout_as_fcn": False, **changes,
    }


def state(modalities=0):
    """Weights by name, float32 as in a file."""
    rng = np.random.default_rng(3)
    further = modalities * SCALARS

    def drawn(*shape):
        return rng.normal(size=shape).astype(np.float32)

    arrays = {
        "edge_embedding.basis_function.coeffs": np.array([0.8, 1.5], np.float32),
        "onehot_to_feature_x.linear.weight": drawn(2 * SCALARS),
        "rescale_atomic_energy.scale": drawn(2),
        "rescale_atomic_energy.shift": drawn(modalities, 2) if modalities else drawn(2),
        "reduce_input_to_hidden.linear.weight": drawn(SCALARS * HIDDEN + modalities * HIDDEN),
        "reduce_hidden_to_energy.linear.weight": drawn(HIDDEN),
    }
    gated = SCALARS + VECTORS
    linear = {
        "0_self_connection_intro": SCALARS * gated, "0_self_interaction_1": SCALARS * SCALARS + further,
        "0_self_interaction_2": SCALARS * gated + SCALARS * VECTORS + modalities * gated,
        "1_self_connection_intro": SCALARS * SCALARS,
        "1_self_interaction_1": SCALARS * SCALARS + VECTORS * VECTORS + further,
        "1_self_interaction_2": (SCALARS + VECTORS) * SCALARS + further,
    }
    arrays |= {f"{name}.linear.weight": drawn(count) for name, count in linear.items()}
    for hop, widths in enumerate((2 * SCALARS, SCALARS + VECTORS)):
        shapes = ((2, 5), (5, 5), (5, widths))
        arrays |= {f"{hop}_convolution.weight_nn.layer{k}.weight": drawn(*shape) for k, shape in enumerate(shapes)}
        arrays[f"{hop}_convolution.denominator"] = np.array([2.5], np.float32)
    arrays["1_convolution.convolution._compiled_main_left_right._w3j_1_1_0"] = (
        -np.eye(3)[:, :, None].astype(np.float32) / np.sqrt(3.0, dtype=np.float32)  # the other sign
    )
    return arrays


def checkpoint(folder, arrays, config):
    tensors = {name: tensor_of(array) for name, array in arrays.items()}
    return written(folder / "small.pth", {"model_state_dict": tensors, "config": config, "epoch": 1})


def silu(x):
    return SILU * x / (1.0 + np.exp(-x))


def energy_by_edges(arrays, structure, modality=None, modalities=0):
    """E of the small checkpoint, edge by edge; the coupling to vectors is a product, that of two a scalar product."""
    w = {name.replace(".linear.weight", ""): array.astype(float) for name, array in arrays.items()}
    element = np.array([SYMBOLS.index(int(z)) for z in structure.numbers])
    extra = np.zeros(0) if modality is None else np.eye(modalities)[modality]

    def scalars_mixed(x, flat, outputs):
        """Rows x (n, C), with those of the modality behind them."""
        x = np.concatenate([x, np.broadcast_to(extra, (len(x), len(extra)))], axis=1)
        return x @ flat.reshape(x.shape[1], outputs) / np.sqrt(x.shape[1])

    positions, cell = np.asarray(structure.positions), np.asarray(structure.cell)
    pairs = find_pairs(positions, cell, structure.pbc, CUTOFF)
    centers, others, shifts, r = (column[pairs[3] < CUTOFF] for column in pairs)
    unit = (positions[others] + shifts @ cell - positions[centers]) / r[:, None]
    radial = 2.0 / CUTOFF * np.sin(np.outer(r, w["edge_embedding.basis_function.coeffs"])) / r[:, None]
    c, o, s = CUTOFF**2, ONSET**2, r**2
    radial *= np.where(s > o, (c - s) ** 2 * (c + 2 * s - 3 * o) / (c - o) ** 3, 1.0)[:, None]
    x, v = w["onehot_to_feature_x"].reshape(2, SCALARS)[element] / np.sqrt(2.0), None
    for hop in (0, 1):
        gated, own = SCALARS + (VECTORS if hop == 0 else 0), w[f"{hop}_self_connection_intro"]
        kept = x @ own[: SCALARS * gated].reshape(SCALARS, gated) / np.sqrt(SCALARS)
        flat = w[f"{hop}_self_interaction_1"]
        inner = VECTORS * VECTORS if hop else 0
        scalar_part = np.concatenate([flat[: SCALARS**2], flat[SCALARS**2 + inner :]])
        shown = scalars_mixed(x, scalar_part, SCALARS)
        hidden = radial
        for k in range(3):
            layer = w[f"{hop}_convolution.weight_nn.layer{k}.weight"]
            hidden = hidden @ layer / np.sqrt(len(layer))
            hidden = silu(hidden) if k < 2 else hidden
        sums = np.zeros((len(x), SCALARS + (VECTORS if hop else 0)))
        along = np.zeros((len(x), 3, SCALARS))
        flat = w[f"{hop}_self_interaction_2"]
        if hop == 0:
            np.add.at(sums, centers, hidden[:, :SCALARS] * shown[others])
            # sqrt(3) for the degree, 1 / sqrt(3) of the coupling, sqrt(3) of the harmonics
            np.add.at(along, centers, np.sqrt(3.0) * unit[:, :, None] * (hidden[:, SCALARS:] * shown[others])[:, None])
            count = SCALARS * gated
            into = np.concatenate([flat[:count], flat[count + SCALARS * VECTORS :]])
            entering = scalars_mixed(sums / 2.5, into, gated)
            v = (along / 2.5) @ flat[count : count + SCALARS * VECTORS].reshape(SCALARS, VECTORS) / np.sqrt(SCALARS)
        else:
            mixed = v @ w["1_self_interaction_1"][SCALARS**2 : SCALARS**2 + inner].reshape(VECTORS, VECTORS)
            mixed /= np.sqrt(VECTORS)
            dot = -np.einsum("eau,ea->eu", mixed[others], unit)  # the coupling of the file has the other sign
            np.add.at(sums, centers, np.concatenate([hidden[:, :SCALARS] * shown[others], hidden[:, SCALARS:] * dot], 1))
            entering = scalars_mixed(sums / 2.5, flat, gated)
        entering = entering + kept
        acted = silu(entering)
        x = acted[:, :SCALARS]
        if hop == 0:
            v = v * acted[:, None, SCALARS:]
    last = scalars_mixed(x, w["reduce_input_to_hidden"], HIDDEN) @ w["reduce_hidden_to_energy"] / np.sqrt(HIDDEN)
    shift = w["rescale_atomic_energy.shift"]
    shift = shift if modality is None else shift[modality]
    return np.sum(w["rescale_atomic_energy.scale"][element] * last + shift[element])


def quartz_like():
    rng = np.random.default_rng(0)
    cell = 3.0 * np.eye(3) + rng.normal(scale=0.2, size=(3, 3))
    return jp.Structure(rng.uniform(size=(3, 3)) @ cell, cell, [14, 8, 8])


def test_a_small_checkpoint_edge_by_edge(tmp_path):
    arrays, structure = state(), quartz_like()
    potential = jp.load(checkpoint(tmp_path, arrays, settings()))
    assert potential.hops == 2 and potential.reach == 8.0 and potential.smoothness == 1
    assert potential.kinks == (3.5, 4.0)
    assert float(jp.energy(potential, structure)) == pytest.approx(energy_by_edges(arrays, structure), abs=1e-11)


def test_columns_sorted_by_degree(tmp_path):
    """Newer versions store them so. In the second hop: scalars of scalars and of vectors, the same order."""
    arrays, structure = state(), quartz_like()
    potential = jp.load(checkpoint(tmp_path, arrays, settings(version="0.11.0")))
    assert float(jp.energy(potential, structure)) == pytest.approx(energy_by_edges(arrays, structure), abs=1e-11)


@pytest.mark.parametrize("name", ["A", "B"])
def test_several_levels_of_theory(tmp_path, name):
    arrays, structure = state(2), quartz_like()
    config = settings(use_modality=True, _modal_map={"A": 0, "B": 1})
    potential = jp.load(checkpoint(tmp_path, arrays, config), modality=name)
    expected = energy_by_edges(arrays, structure, "AB".index(name), 2)
    assert float(jp.energy(potential, structure)) == pytest.approx(expected, abs=1e-11)


def test_a_level_of_theory_that_is_missing(tmp_path):
    several = checkpoint(tmp_path, state(2), settings(use_modality=True, _modal_map={"A": 0, "B": 1}))
    with pytest.raises(DataError, match=r"several levels of theory: give modality= \(--modality\) one of A, B"):
        jp.load(several)
    with pytest.raises(DataError, match="one of A, B; got 'PBE'"):
        jp.load(several, modality="PBE")
    with pytest.raises(DataError, match="this model has none; leave that out"):
        jp.load(checkpoint(tmp_path, state(), settings()), modality="PBE")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_parity": True}, "is_parity=True is not read; expected False"),
        ({"interaction_type": "mace"}, "interaction_type='mace' is not read"),
        ({"self_connection_type": "nequip"}, "self_connection_type='nequip' is not read; expected 'linear'"),
        ({"act_gate": {"e": "tanh"}}, "act_gate=.* expected silu"),
        ({"cutoff_function": {"cutoff_function_name": "cosine"}}, "cutoff_function 'cosine' is not read"),
        ({"radial_basis": {"radial_basis_name": "gauss"}}, "radial_basis 'gauss' is not read"),
        ({"irreps_manual": ["3x0e", "3x0e+2x1o", "3x0e"]}, "irreps '3x0e.2x1o' are not read"),
        ({"irreps_manual": ["3x0e", "3x0e+4x1e", "3x0e"]}, r"expected an array \(\d+,\), got \(\d+,\)"),
        ({"_type_map": {8: 0, 14: 2}}, "does not number elements"),
        ({"_type_map": {8: 0, 140: 1}}, "140"),
        ({"lmax": 9}, "lmax=9 is not read; expected 0 to 8"),
        ({"lmax_edge": "2"}, "lmax_edge is missing or not what it should be"),
        ({"cutoff": None}, "config: cutoff is missing"),
        ({"cutoff": -1.0}, "cutoff"),
    ],
)
def test_other_architectures(tmp_path, changes, message):
    with pytest.raises(FormatError, match=message):
        jp.load(checkpoint(tmp_path, state(), settings(**changes)))


def test_weights_that_do_not_fit(tmp_path):
    arrays = state()
    for name, array, message in (
        ("0_self_interaction_2.linear.weight", None, "got nothing"),
        ("0_self_interaction_2.linear.weight", np.zeros(7, np.float32), r"got \(7,\)"),
        ("0_convolution.weight_nn.layer2.weight", np.zeros((5, 7), np.float32), "expected 6 in the end, got 7"),
        ("0_convolution.weight_nn.layer1.weight", np.zeros((4, 5), np.float32), "layers do not follow"),
        ("1_convolution.convolution._compiled_main_left_right._w3j_1_1_0", np.ones((3, 3, 1), np.float32),
         "no coupling of degrees 1, 1, 0"),
        ("rescale_atomic_energy.scale", np.full(2, np.nan, np.float32), "not finite"),
    ):
        changed = {**arrays, name: array} if array is not None else {k: v for k, v in arrays.items() if k != name}
        with pytest.raises((FormatError, DataError), match=message):
            jp.load(checkpoint(tmp_path, changed, settings()))


def test_a_checkpoint_of_another_program(tmp_path):
    with pytest.raises(FormatError, match="not recognised"):
        jp.load(written(tmp_path / "x.pth", {"state_dict": {}, "epoch": 3}))
