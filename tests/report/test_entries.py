"""A property on a card is one record: what it says is all that the card knows of it."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import ConvergenceError
from jaxpot.report import entries
from jaxpot.report.card import property_card
from jaxpot.report.crystal import lattice
from jaxpot.report.entries import Entry, Figure, Property, shape
from jaxpot.report.rows import entry_row
from jaxpot.report.style import Picture
from jaxpot.report.table import rows, text_table

COPPER = jp.potentials.Morse(0.3429, 1.3588, 2.866, 6.0, shift="smooth")  # of Girifalco and Weizer


def diagonal(potential, crystal):
    return np.sqrt(3.0) * lattice(crystal)["a"]


def draw(results, spreads):
    picture = Picture(2.0, 2.0)
    picture.subplots().errorbar([0.0], [results["toy"]], yerr=[spreads.get("toy", 0.0)])
    return picture


TOY = Property(
    about="toy",
    compute=lambda study: {"toy": float(diagonal(study.potential, study.crystal))},
    entries=(
        Entry(
            "toy_A", "A", "diagonal of the cube", value=lambda results, study: results.get("toy"),
            deviation=lambda spreads, study: spreads.get("toy"),
        ),
    ),
    figures=(Figure("toy", draw, "A toy."),),
    rows=lambda document: [entry_row("Toys", "Diagonal", document["toy_A"], 2, "A")],
    meta=lambda results, spreads, study: {"toy": {"atoms": len(study.crystal)}},
    spreads=lambda uncertain, results: {"toy": float(uncertain.spread("toy", diagonal).std)},
)


@pytest.fixture
def card_with(monkeypatch):
    """A card of the shape of the crystal and one more property."""

    def card(toy, **settings):
        monkeypatch.setattr(entries, "PROPERTIES", (shape.PROPERTY, toy))
        return property_card(COPPER, bulk("Cu", a=3.6), "Cu", points=12, **settings)

    return card


def test_a_property_is_on_the_card_by_its_record_alone(card_with, tmp_path):
    card = card_with(TOY)
    document = card.document()
    assert list(document) == ["a0_A", "toy_A", "meta"]
    assert document["toy_A"] == {"value": np.sqrt(3.0) * document["a0_A"]["value"], "sd": None, "unit": "A"}
    assert document["meta"]["definitions"]["toy_A"] == "diagonal of the cube" and document["meta"]["toy"] == {"atoms": 1}
    assert [row.name for row in rows(document) if row.section == "Toys"] == ["Diagonal"]
    assert "Diagonal" in text_table(document)
    assert {path.name for path in card.write(tmp_path)} == {"card.json", "card.html", "toy.png"}
    page = (tmp_path / "card.html").read_text()
    assert "<figcaption>A toy.</figcaption>" in page and "diagonal of the cube" in page


def test_its_error_bar_is_that_of_its_spread(card_with, tmp_path):
    posterior = jp.Posterior.of(COPPER, {"depth": 0.01, "alpha": 0.02})
    card = card_with(TOY, posterior=posterior)
    document, plain = card.document(), card_with(TOY)
    assert document["toy_A"]["sd"] == pytest.approx(np.sqrt(3.0) * document["a0_A"]["sd"], rel=1e-9) != 0.0
    assert "±" in text_table(document) and card.figures()["toy"].png() != plain.figures()["toy"].png()
    card.write(tmp_path)
    assert "A toy. Shaded, or as bars: one standard deviation" in (tmp_path / "card.html").read_text()


def test_a_property_that_the_crystal_has_not_got_is_null_with_a_reason(card_with):
    def refuse(study):
        raise ConvergenceError("this crystal has none")

    for toy in (replace(TOY, compute=refuse), replace(TOY, compute=refuse, progress=lambda study: "")):
        card = card_with(toy)
        assert card.values["toy_A"]["value"] is None and card.values["a0_A"]["value"] > 3.0
        assert card.meta["warnings"] == ["no toy: this crystal has none"] and not card.figures()
        assert "not available" in text_table(card.document())


def test_a_property_of_free_crystals_is_left_out_under_pressure(card_with):
    card = card_with(replace(TOY, under_pressure=False), pressure=jp.units.GPa)
    assert card.values["toy_A"]["value"] is None and "toy" not in card.results
    (note,) = card.meta["warnings"]
    assert note.endswith("left out, as they are of crystals without pressure: toy, error bars")
    assert card_with(TOY, pressure=jp.units.GPa).values["toy_A"]["value"] > 0.0


def test_what_takes_longest_is_computed_in_the_background(card_with):
    threads, said = [], []

    def compute(study):
        threads.append(threading.current_thread())
        return TOY.compute(study)

    card = card_with(replace(TOY, compute=compute, progress=lambda study: "half of it"), progress=said.append)
    (thread,) = threads
    assert thread is not threading.main_thread() and card.values["toy_A"]["value"] > 0.0
    assert said.index("shape of the crystal") < said.index("toy")


def test_names_on_a_card_are_given_once():
    keys = [entry.key for prop in entries.PROPERTIES for entry in prop.entries]
    figures = [figure.name for prop in entries.PROPERTIES for figure in prop.figures]
    about = [prop.about for prop in entries.PROPERTIES]
    assert all(len(names) == len(set(names)) for names in (keys, figures, about)) and "meta" not in keys
