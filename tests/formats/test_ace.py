"""ACE in PACE's files: numbers that python-ace gave, what is written, and what is refused."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.basis.radial_bases import RadialBasis
from jaxpot.errors import DataError, FormatError
from jaxpot.potentials import ZBL, Constants

FILES = Path(__file__).parent / "files"
PUBLISHED = (
    "Ta_PACE_RIDGE_30Mar23.yace", "Ta_PACE_ARD_29Mar23.yace", "Ta_PACE_Standard_17Oct22.yace",
    "InP_PACE_19Sep2023.yace", "Cu-PBE-core-rep.ace",
)


@pytest.mark.data
@pytest.mark.parametrize("name", thorough_but(PUBLISHED[:1], PUBLISHED, PUBLISHED[1:3]))
def test_numbers_of_published_files(name):
    folder = Path(os.environ["JAXPOT_DATA"]) / "models" / "ace"
    potential = jp.load(folder / name)
    reference = json.loads((folder / f"{name}.json").read_text())
    records = [r for r in zip(reference["structures"], reference["results"], strict=True) if r[1]["stress"]][:2]
    structures = [jp.Structure(s["positions"], s["cell"], s["numbers"], pbc=s["pbc"]) for s, _ in records]
    for (_, expected), result in zip(records, jp.evaluate_many(potential, structures), strict=True):
        # What remains is due to the tables that python-ace makes of radial functions.
        assert abs(result.energy - expected["energy"]) < 1e-9 * len(result.forces)
        np.testing.assert_allclose(result.forces, expected["forces"], rtol=0.0, atol=5e-6)
        np.testing.assert_allclose(result.stress, expected["stress"], rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("name", ["embedded.yace", "two_kinds.yace"])
def test_numbers_of_made_up_files(name):
    expected = json.loads((FILES / "made_up_ace.json").read_text())[name]
    structure = jp.Structure(expected["positions"], expected["cell"], expected["numbers"])
    result = jp.evaluate(jp.load(FILES / name), structure)
    assert abs(result.energy - expected["energy"]) < 1e-11
    np.testing.assert_allclose(result.forces, expected["forces"], rtol=0.0, atol=1e-9)


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), one, other)


@pytest.mark.parametrize("name, ending", [("embedded.yace", "yace"), ("two_kinds.yace", "yace"), ("embedded.ace", "ace")])
def test_what_is_written_is_read_back(name, ending, tmp_path):
    potential = jp.load(FILES / name)
    jp.save(potential, tmp_path / f"x.{ending}")
    assert b"elements:" in (tmp_path / f"x.{ending}").read_bytes()[:100]
    same(jp.load(tmp_path / f"x.{ending}"), potential)
    jp.save(potential, tmp_path / "x.jaxpot")
    same(jp.load(tmp_path / "x.jaxpot"), potential)


def test_the_older_text_is_the_same_potential():
    same(jp.load(FILES / "embedded.ace"), jp.load(FILES / "embedded.yace"))


def test_factors_scales_and_constants_are_written(tmp_path):
    potential = jp.load(FILES / "two_kinds.yace")
    jp.save(2.0 * potential + Constants({"Ta": 1.0, "W": -1.0}), tmp_path / "x.yace")
    written = jp.load(tmp_path / "x.yace")
    np.testing.assert_allclose(written.terms[0].readout.weights, 2.0 * potential.terms[0].readout.weights, rtol=1e-13)
    terms = [
        term.replace(descriptor=term.descriptor.replace(scales=np.full(len(term.descriptor.components), 0.5)))
        for term in potential.terms[:2]
    ]
    jp.save(terms[0] + terms[1], tmp_path / "y.yace")
    written = jp.load(tmp_path / "y.yace")
    np.testing.assert_allclose(written.terms[0].readout.weights, 0.5 * potential.terms[0].readout.weights, rtol=1e-13)


def test_what_has_no_place_in_the_file(tmp_path):
    potential = jp.load(FILES / "two_kinds.yace")
    for wrong, message in (
        (potential + ZBL(3.0, 3.5, ("Ta", "W")), "has no place"), (potential.terms[0], "a term for each of the elements"),
        (potential + potential.terms[0], "has a term already"), (Constants({"Ta": 1.0}), "no ClusterExpansion"),
        (2.0 * jp.load(FILES / "embedded.yace"), "no factor for a core"),
    ):
        with pytest.raises(DataError, match=message):
            jp.save(wrong, tmp_path / "x.yace")
    with pytest.raises(DataError, match=r"one element alone, this potential has Ta, W; save it as \.yace"):
        jp.save(potential, tmp_path / "x.ace")
    alone = jp.load(FILES / "embedded.ace")
    term = next(term for term in alone.terms if hasattr(term, "descriptor"))
    (basis,) = term.descriptor.bases
    faded = term.replace(descriptor=term.descriptor.replace(
        bases=(RadialBasis(basis.name, basis.parameter, basis.cutoff, basis.width, 1.0, 0.1),)
    ))
    with pytest.raises(DataError, match=r"no inner cutoff, this potential has 1 A"):
        jp.save(faded, tmp_path / "x.ace")


@pytest.mark.parametrize("old, new, message", [
    ("ChebExpCos", "Legendre", "radbasename: expected one of ChebExpCos"),
    ("elements: [Ta, W]", "elements: [Ta, Ta]", "expected different elements"),
    ("elements: [Ta, W]", "elements: [Ta, Xx]", "Xx"),
    ("E0: [", "E1: [", "expected the key E0"),
    ("npoti: FinnisSinclair,", "npoti: Exponential,", "npoti: expected one of"),
    ("inner_cutoff_type: distance", "inner_cutoff_type: zbl", "ZBL"),
    ("  [0, 1]: ", "  [0, 2]: ", "whole number from 0 to 1"),
    ("rank: 3, ndensity: 1, num_ms_combs: 1,", "rank: 3, ndensity: 1, num_ms_combs: 2,", "expected a list of 6"),
    ("rank: 2, ndensity: 1", "rank: 9, ndensity: 1", "whole number from 1 to 6"),
    ("rcut: 3.6", "rcut: -3.6", "rcut: expected a number above zero"),
    ("E0: [", "E0: &a [", None),
    ("bonds:", "bonds: *a", "expected no aliases"),
    ("embeddings:", "embeddings: [", "expected YAML"),
    ("E0: [", "E2: " + "[" * 100 + "]" * 100 + "\nE0: [", "nested at most 12"),
    ("rho_core_cutoff: 100000.0", "rho_core_cutoff: 100.0", "drho_core_cutoff or more"),
    ("inner_cutoff_type: distance", "inner_cutoff_type: density", "one inner_cutoff_type"),
    ("ls: [1, 1], ms_combs: [-1, 1,", "ls: [1, 1], ms_combs: [0, 0,", "do not make an invariant"),
])
def test_bad_files(old, new, message, tmp_path):
    text = (FILES / "two_kinds.yace").read_text()
    assert old in text
    (tmp_path / "bad.yace").write_text(text.replace(old, new, 1))
    if message is None:
        jp.load(tmp_path / "bad.yace")
        return
    with pytest.raises(FormatError, match=message):
        jp.load(tmp_path / "bad.yace")


def test_cores_end_at_the_inner_cutoff(tmp_path):
    """As in PACE: with inner_cutoff_type distance there is no core beyond rcut_in, of 0 none at all."""
    text = (FILES / "embedded.yace").read_text()
    assert jp.load(FILES / "embedded.yace").terms[0].descriptor.core is not None
    (tmp_path / "x.yace").write_text(text.replace("inner_cutoff_type: density", "inner_cutoff_type: distance"))
    assert jp.load(tmp_path / "x.yace").terms[0].descriptor.core is None


@pytest.mark.parametrize("old, new, message", [
    ("ChebPow", "Legendre", "radbasename: expected one of"), ("nradmax=3", "nradmax=100", "expected a number"),
    ("elements: Cu", "elements: Xx", "Xx"), ("lmax=2", "lmin=2", "expected lmax="),
    ("< 0  0 >:", "< 0  1 >:", "expected a number from 0 to 0"), ("ndensitymax=2", "ndensitymax=3", "ndensitymax="),
])
def test_bad_texts(old, new, message, tmp_path):
    text = (FILES / "embedded.ace").read_text()
    assert old in text
    (tmp_path / "bad.ace").write_text(text.replace(old, new, 1))
    with pytest.raises(FormatError, match=message):
        jp.load(tmp_path / "bad.ace")
