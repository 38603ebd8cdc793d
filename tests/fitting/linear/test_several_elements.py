"""Recipes of several elements: as many weights as a fit can have, and elements that are told apart."""

import os
from importlib import resources

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting import Dataset, Frame, fit, read_recipe
from jaxpot.report.fit import fit_document, fit_html


@pytest.fixture(scope="module")
def carbide():
    """Frames of silicon carbide with energies and forces at random."""
    return _frames(["Si", "C"])


def _frames(elements):
    rng, frames = np.random.default_rng(0), []
    for k in range(8):
        atoms = bulk("SiC", "zincblende", 4.36, cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.symbols[:] = (elements * 4)[:8]
        frames.append(Frame(jp.Structure.of(atoms), energy=-50.0 + rng.normal(), forces=rng.normal(size=(8, 3))))
    return Dataset.of(frames)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["snap", "qsnap", "ace"])
def test_two_elements_have_no_more_weights_than_a_fit_can_have(carbide, name):
    terms = [term for term in read_recipe(name).measured(carbide).linear_terms(carbide) if term.descriptor.cutoff > 0.0]
    potentials = [
        jp.potentials.Described(term.descriptor, term.kind.untrained(term.descriptor.dimension, 1.0)) for term in terms
    ]
    assert 1000 < sum(p.readout.n_features for p in potentials) <= 4000
    assert sorted(term.descriptor.centers for term in terms) == [(6,), (14,)]
    # Of two atoms that exchange their places, another one sees a change.
    atoms = bulk("SiC", "zincblende", 4.36, cubic=True)
    exchanged = atoms.copy()
    exchanged.symbols[[0, 1]] = exchanged.symbols[[1, 0]]
    carbon, z = next((p, 3) for p in potentials if p.descriptor.centers == (int(atoms.numbers[3]),))
    count = carbon.readout.weights.shape
    made_up = carbon.replace(readout=carbon.readout.replace(weights=np.random.default_rng(1).normal(size=count)))
    energies = [float(jp.evaluate(made_up, s).energies[z]) for s in (atoms, exchanged)]
    assert abs(energies[0] - energies[1]) > 1e-6 * abs(energies[0])


@pytest.mark.parametrize(
    ("elements", "components"), [(["Si", "C"], 1120), (["Si", "C", "Ge"], 1080), (["Si", "C", "Ge", "Sn"], 140)],
)
def test_more_than_three_elements_are_in_one_density(elements, components):
    data = _frames(elements)
    terms = [t for t in read_recipe("snap").measured(data).linear_terms(data) if t.descriptor.cutoff > 0.0]
    assert [term.descriptor.dimension for term in terms] == [components] * len(elements)
    assert {term.descriptor.chemflag for term in terms} == {len(elements) < 4}
    assert len(set(terms[0].descriptor.weights)) == (1 if len(elements) < 4 else 4)


@pytest.mark.thorough
def test_what_was_lowered_is_told(carbide, tmp_path):
    text = resources.files("jaxpot.fitting.recipes").joinpath("qsnap.toml").read_text()
    (tmp_path / "few.toml").write_text(text.replace("max_weights = 4000", "max_weights = 200"))
    told = []
    fitted = fit(carbide, tmp_path / "few.toml", progress=told.append)
    sentence = "term 1: twojmax = 3, not 8: 2 elements have at most 200 weights (max_weights)"
    assert sentence in told
    document = fit_document(fitted)
    assert document["model"]["lowered"] == [sentence]
    assert sentence in fit_html(fitted, document)
    assert document["recipe"]["term"][0]["twojmax"] == 3
    assert [term["weights"] for term in document["terms"]] == [44, 44, 1, 1]


@pytest.mark.parametrize("name", ["snap", "ace"])
def test_a_gaussian_process_has_no_largest_number_of_weights(name, tmp_path):
    text = resources.files("jaxpot.fitting.recipes").joinpath(f"{name}.toml").read_text()
    (tmp_path / "wrong.toml").write_text(text.replace('"linear"', '"gaussian process"'))
    with pytest.raises(FormatError, match="max_weights: expected a readout of linear, quadratic"):
        read_recipe(tmp_path / "wrong.toml")


@pytest.mark.parametrize("name", ["snap", "qsnap", "ace"])
def test_no_set_of_functions_is_small_enough(carbide, name, tmp_path):
    text = resources.files("jaxpot.fitting.recipes").joinpath(f"{name}.toml").read_text()
    (tmp_path / "few.toml").write_text(text.replace("max_weights = 4000", "max_weights = 3"))
    with pytest.raises(DataError, match="of 2 elements has as few as max_weights = 3 weights"):
        read_recipe(tmp_path / "few.toml").measured(carbide)


def test_degrees_that_fall_must_be_given(tmp_path):
    text = resources.files("jaxpot.fitting.recipes").joinpath("ace.toml").read_text()
    (tmp_path / "wrong.toml").write_text("\n".join(line for line in text.splitlines() if "degree_by" not in line))
    with pytest.raises(FormatError, match="max_weights lowers degree_by_orders"):
        read_recipe(tmp_path / "wrong.toml")


@pytest.mark.parametrize("squares", [0, 12])  # matrices of weights by weights: two kinds and four folds have sums in 8
def test_more_weights_than_memory_are_refused(carbide, monkeypatch, squares):
    weights = 3192
    size = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 8 * weights**2 * squares}
    monkeypatch.setattr(os, "sysconf", lambda name: size[name])
    with pytest.raises(DataError, match=rf"^{weights} weights: a fit keeps several matrices .* this machine has \d+: expected"):
        fit(carbide, "qsnap")
