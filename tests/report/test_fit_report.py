"""The report of a fit: its document, its tables and its page, from numbers that are known."""

import json
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

import jaxpot as jp
from jaxpot import units
from jaxpot.data.predictions import KINDS, Predictions
from jaxpot.data.targets import Sigmas
from jaxpot.fitting.linear.elimination import Size
from jaxpot.fitting.linear.hyperparameters import Chosen
from jaxpot.fitting.linear.learning_curve import Point
from jaxpot.report import fit_plots
from jaxpot.report.fit import fit_document, fit_html
from jaxpot.report.fit_html import error_table, recipe_text, settings_table
from jaxpot.uncertainty.calibration import Calibration
from jaxpot.uncertainty.scores import CURVE

TERM = {"descriptor": "distance_2b", "cutoff": 1.6, "theta": [0.4], "sparse_points": 3}


def predictions(frames, atoms, error, config_types=("bulk <1>", "slab"), stress=True, seed=0):
    """Energies are too high by `error` meV/atom, force components by `error` eV/A, stresses by `error` GPa."""
    rng = np.random.default_rng(seed)
    energy = list(rng.normal(-5.0, 0.1, frames))
    forces = [rng.normal(size=(atoms, 3)) for _ in range(frames)]
    tensors = [(t + t.T) * units.GPa if stress else None for t in rng.normal(size=(frames, 3, 3))]
    return Predictions(
        tuple(config_types[k % len(config_types)] for k in range(frames)),
        {"energy": energy, "forces": forces, "stress": tensors},
        {
            "energy": [e + 1e-3 * error for e in energy],
            "forces": [f + error for f in forces],
            "stress": [(0.0 if t is None else t) + error * units.GPa for t in tensors],
        },
    )


@pytest.fixture
def fit():
    readout = jp.readouts.SparseGP(jp.kernels.SquaredExponential([0.4]), np.ones((3, 1)), np.ones(3))
    described = jp.potentials.Described(jp.descriptors.Pair(3.6, elements=("Si", "Si")), readout, (14,))
    baseline = jp.potentials.StillingerWeber.silicon()
    return jp.fitting.Fit(
        potential=jp.potentials.Constants({"Si": -4.0}) + described + baseline,
        recipe=jp.fitting.Recipe((TERM,), Sigmas(), "evidence", name="<mine>"),
        sigmas={"energy": 0.002, "forces": 0.1, "stress": 0.5 * units.GPa}, deltas=(0.7,), sparse=(3,), jitter=(1e-9,),
        e0={14: -4.0}, e0_origin="given", stress_offsets={"hot": 0.2 * units.GPa}, choice=Chosen({"energy": 2.0, "forces": 2.0}, (0.7,), float("inf"), 12),
        train=predictions(8, 5, 2.0), test=predictions(4, 5, 3.0, seed=1), seconds={"rows": 100.0, "solution": 50.0},
        path=tuple(Size(n, {"energy": e, "forces": f}) for n, e, f in ((400, 1.0, 1.0), (283, 1.1, 1.0), (200, 1.3, 1.2))),
    )


def test_the_document_has_the_units_it_names(fit):
    curve = [Point(4, fit.train.errors()), Point(8, fit.test.errors())]
    document = fit_document(fit, baseline="sw-silicon", seed=1, peak_memory=2_500_000_000, curve=curve)
    json.dumps(document, allow_nan=False)
    for name, error in (("train", 2.0), ("test", 3.0)):
        assert set(document["errors"][name]) == {"all", "bulk <1>", "slab"}
        for kind, unit in (("energy", "meV/atom"), ("forces", "eV/A"), ("stress", "GPa")):
            entry = document["errors"][name]["all"][kind]
            assert entry["unit"] == unit
            for value in (entry["mae"], entry["rmse"], *entry["interval_90"]):
                assert value == pytest.approx(error, rel=1e-9)
    assert document["errors"]["test"]["all"]["forces"]["count"] == 60
    assert document["sigmas"]["energy"] == {"value": 0.002, "unit": "eV/atom"}
    assert document["sigmas"]["stress"] == {"value": pytest.approx(0.5), "unit": "GPa"}
    # The baseline is not among the terms that were fitted.
    (term,) = document["terms"]
    assert term["descriptor"] == "Pair" and term["elements"] == ["Si", "Si"]
    assert (term["sparse_points"], term["delta_eV"], term["jitter"]) == (3, 0.7, 1e-9)
    assert document["choice"]["trials"] == 12 and document["choice"]["value"] is None
    assert document["e0_eV"] == {"Si": -4.0}
    assert [point["frames"] for point in document["learning_curve"]] == [4, 8]
    assert document["fewer_components"][1] == {"components": 283, "errors": {"energy": 1.1, "forces": 1.0}}


def test_the_recipe_reads_back(fit, tmp_path):
    text = recipe_text(fit_document(fit)["recipe"])
    (tmp_path / "again.toml").write_text(text)
    again = jp.read_recipe(tmp_path / "again.toml")
    assert (again.terms, again.sigmas, again.choice, again.units) == ((TERM,), Sigmas(), "evidence", "bonds")


def test_tables_for_the_terminal(fit):
    document = fit_document(fit, peak_memory=2_500_000_000)
    lines = error_table(document).splitlines()
    assert lines[0].split()[:2] == ["Energy", "(meV/atom)"]
    assert lines[1].split() == ["train", "all", "2.00", "-", "2.00", "8"]  # all err alike: there is no interval
    fit.train.predicted["energy"][0] += 0.008
    line = error_table(fit_document(fit)).splitlines()[1].split()
    assert line[2] == "3.00" and float(line[3]) < 3.0 < float(line[5])
    assert sum("slab" in line for line in lines) == 6
    assert max(map(len, lines)) <= 100
    text = settings_table(document)
    assert "200: energy x 1.30, forces x 1.20" in text
    assert "Stress offset of hot" in text and " 0.2 GPa" in text
    assert "evidence, 12 trials" in text and "2.50 GB" in text and "150.0 s" not in text and "2.5 min" in text
    # One config type needs no line of its own; what was not fitted says so.
    object.__setattr__(fit, "train", predictions(8, 5, 2.0, config_types=("default",)))
    object.__setattr__(fit, "test", None)
    fit.sigmas.pop("stress")
    text = error_table(fit_document(fit))
    assert "default" not in text and "test" not in text and "Stress (GPa), not fitted" in text


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole(fit):
    summary = SimpleNamespace(to_dict=lambda: DATA, __str__=lambda: "")
    document = fit_document(fit, summary=summary, curve=[Point(4, fit.train.errors()), Point(8, fit.test.errors())])
    document["data_text"] = "closest <pair>"
    page = fit_html(fit, document)
    parser = Balanced()
    parser.feed(page)
    assert not parser.open and parser.seen.count("img") == 5
    assert "&lt;mine&gt;" in page and "<mine>" not in page and "bulk &lt;1&gt;" in page and "closest &lt;pair&gt;" in page
    assert "http" not in page


def test_groups_left_out_are_a_table(fit):
    score = {"coverage": {0.9: 0.9}, "curve": list(CURVE), "crps": 0.1, "nll": 1.0}
    kinds = ("energy", "forces")
    row = {"frames": 7, "config_types": ["bulk <1>", "slab"], "energy": {"coverage": 0.86, "half_width": 0.5, "error": 0.4}}
    calibration = Calibration(
        dict.fromkeys(KINDS, 2.5), dict.fromkeys(kinds, 1.0),
        {kind: {"before": score, "after": score} for kind in kinds},
        dict.fromkeys(kinds, 8), (row, row | {"forces": {"coverage": 0.5, "half_width": 0.01, "error": 0.02}}), 0.1,
    )
    document = fit_document(fit, calibration=calibration)
    bars = json.loads(json.dumps(document, allow_nan=False))["error_bars"]
    assert bars["away"] == {"far": 1.0, "usual": None, "largest_force": None, "alike": 0.0, "levels": []}
    assert bars["clusters"][1]["forces"]["coverage"] == 0.5
    page = fit_html(fit, document)
    parser = Balanced()
    parser.feed(page)
    assert not parser.open and "bulk <1>" not in page
    assert "7: bulk &lt;1&gt;, slab" in page and "<td>86 %</td>" in page and "no labels" in page
    assert "Stress (eV" not in page and "Groups left out" in page


DATA = {
    "groups": [], "total": {
        "name": "all", "frames": 8, "atoms": 40, "energy": [-1.0, 0.5], "force": None, "stress": None, "volume": None,
        "closest": 2.3,
    },
}


def test_labels_may_be_missing(fit):
    object.__setattr__(fit, "train", predictions(5, 3, 1.0, stress=False))
    object.__setattr__(fit, "test", None)
    document = fit_document(fit)
    assert "stress" not in document["errors"]["train"]["all"] and "Stress" not in error_table(document)
    assert fit_html(fit, document).count("<img") == 3
    fit.train.labels["forces"][:] = [None] * 5
    assert fit_plots.plot_forces(fit.train) is None
    object.__setattr__(fit, "train", None)  # predictions were not wanted
    document = fit_document(fit)
    assert document["errors"] == {} and fit_html(fit, document).count("<img") == 1


def test_thousands_of_points_become_counts(monkeypatch):
    train, test = predictions(4, 10, 0.1), predictions(2, 2, 0.1)
    monkeypatch.setattr(fit_plots, "_MOST_DOTS", 100)
    many, few, last = fit_plots.plot_forces(train, test).axes
    assert any("120 components" in text.get_text() for text in many.texts)
    assert sum(many.collections[0].get_array()) == 120
    assert few.collections[0].get_array() is None and len(few.collections[0].get_offsets()) == 12
    assert "eV" in many.get_xlabel() and many.get_xlim() == many.get_ylim() == few.get_xlim()


def test_a_perfect_fit_and_one_frame_can_be_drawn():
    one = predictions(1, 1, 0.0)
    for plot in (fit_plots.plot_energies, fit_plots.plot_forces, fit_plots.plot_stresses):
        assert plot(one).png().startswith(b"\x89PNG")


def test_stresses_are_in_gpa_and_their_mean_error_is_that_of_the_table():
    train = predictions(4, 3, 1.0)
    for tensor in train.predicted["stress"]:
        tensor[np.triu_indices(3, 1)] += 4.0 * units.GPa
        tensor[np.tril_indices(3, -1)] += 4.0 * units.GPa
    left, right = fit_plots.plot_stresses(train).axes
    offsets = right.collections[0].get_offsets()
    assert len(offsets) == 24
    np.testing.assert_allclose(sorted(set(np.round(offsets[:, 1], 6))), [1.0, 5.0])
    mean = train.errors()["all"]["stress"]["mae"] / units.GPa
    assert f"MAE {mean:.3g} GPa" in left.get_legend().get_texts()[0].get_text()
