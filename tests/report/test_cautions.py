"""What a card says of bulk moduli that differ, or rise with temperature."""

from types import SimpleNamespace

import numpy as np

import jaxpot as jp
from jaxpot.report.cautions import cautions

GPA = jp.units.GPa


def thermal(*bulk):
    temperatures = np.array([0.0, 100.0, 300.0, 600.0])[: len(bulk)]
    return SimpleNamespace(temperatures=temperatures, bulk=GPA * np.array(bulk))


def test_a_bulk_modulus_that_rises_with_temperature_is_told():
    assert cautions({"thermal": thermal(100.0, 99.0, 97.0, 97.01)}) == []
    assert cautions({}) == []
    (caution,) = cautions({"thermal": thermal(100.0, 95.0, 99.0, 90.0)})
    assert "rises with temperature, from 95.00 GPa at 100 K to 99.00 GPa at 300 K" in caution
    assert "beyond its training data" in caution


def test_two_bulk_moduli_are_explained():
    elastic = SimpleNamespace(bulk_voigt=138.35 * GPA)
    assert cautions({"elastic": elastic, "equation_of_state": SimpleNamespace(bulk=138.36 * GPA)}) == []
    (caution,) = cautions({"elastic": elastic, "equation_of_state": SimpleNamespace(bulk=139.31 * GPA)})
    assert "139.31 GPa" in caution and "138.35 GPa: they differ where second derivatives" in caution
