"""A card that shows no vacancy says why."""

import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import ConvergenceError
from jaxpot.report import defects


def test_a_compound_has_no_vacancy_line_and_a_reason(monkeypatch):
    monkeypatch.setattr(defects, "vacancy_energy", lambda *_: pytest.fail("no vacancy of a compound is one number"))
    monkeypatch.setattr(defects, "surface_energy", lambda potential, crystal, face: face)
    b2, notes = jp.Structure([[0.0] * 3, [1.44] * 3], 2.88 * np.eye(3), ["Ni", "Al"]), []
    found = defects.defects_of(None, b2, notes)
    assert list(found) == ["surfaces"] and list(found["surfaces"]) == ["100", "110", "111"]
    (note,) = notes
    assert "no vacancy energies: in a compound they depend on the chemical potential" in note


def test_a_vacancy_that_does_not_relax_is_told(monkeypatch):
    def refuse(*_):
        raise ConvergenceError("the vacancy did not relax")

    monkeypatch.setattr(defects, "vacancy_energy", refuse)
    monkeypatch.setattr(defects, "surface_energy", lambda potential, crystal, face: face)
    iron, notes = jp.Structure([[0.0] * 3], 2.87 / 2 * (np.ones((3, 3)) - 2 * np.eye(3)), ["Fe"]), []
    assert list(defects.defects_of(None, iron, notes)) == ["surfaces"]
    assert notes == ["the vacancy did not relax"]
