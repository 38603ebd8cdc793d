"""What a card says of numbers that exist and are not what they seem."""

from types import SimpleNamespace

import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.report.cautions import cautions

GPA = jp.units.GPa
HARD = {"temperatures": np.array([0.0, 300.0]), "bulk": GPA * np.array([100.0, 99.0])}


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
    assert "mean little" not in caution
    (caution,) = cautions({"elastic": elastic, "equation_of_state": SimpleNamespace(bulk=130.0 * GPA)})
    assert caution.endswith("Grueneisen parameters and thermal expansion mean little there")


def test_volumes_beyond_the_training_data_are_told():
    atoms = bulk("Si")
    crystal = jp.Structure.of(atoms)
    frames = [jp.fitting.Frame(crystal.strained(s * np.eye(3)), energy=0.0) for s in (-0.01, 0.0, 0.01, 1.0)]
    ranges = jp.fitting.Dataset.of(frames, e0={"Si": 0.0}).ranges()
    volume = float(crystal.volume) / 2
    np.testing.assert_allclose(ranges["volume_per_atom"], [volume * 0.99**3, volume * 1.01**3])  # no free atoms
    inside = {"crystal": crystal, "thermal": SimpleNamespace(volumes=2 * volume * np.array([1.0, 1.01]), **HARD)}
    posterior = SimpleNamespace(ranges=ranges, sigmas={}, calibration={})
    assert cautions(inside, posterior) == [] and cautions(inside) == []
    warm = {"crystal": crystal, "thermal": SimpleNamespace(volumes=2 * volume * np.array([1.0, 1.05]), **HARD)}
    (caution,) = cautions(warm, posterior)
    assert caution.startswith("the crystal as it expands has 20.013 to 21.014 A^3 an atom, the training data 19.418 to")
    (caution,) = cautions({"crystal": crystal.strained(0.02 * np.eye(3))}, posterior)
    assert caution.startswith("the relaxed crystal has")


def test_a_polar_crystal_without_charges_has_no_field():
    salt = jp.Structure.of(bulk("MgO", "rocksalt", 4.2))
    short = jp.potentials.LennardJones(0.01, 2.0, 5.0)
    results = {"crystal": salt, "phonons": {"frequencies": np.ones(3)}}
    (caution,) = cautions(results, None, short)
    assert "sees 5 A far and has no charges" in caution and "no LO-TO splitting" in caution
    assert cautions(results | {"crystal": jp.Structure.of(bulk("Cu"))}, None, short) == []
    assert cautions({"crystal": salt}, None, short) == []
    long = SimpleNamespace(needs=("charges",), reach=np.inf)
    assert cautions(results, None, long) == []


def test_error_bars_that_were_compared_with_no_error_are_told():
    posterior = jp.Posterior.of(jp.potentials.LennardJones(0.01, 2.0, 5.0), {"epsilon": 0.001})
    assert cautions({}, posterior) == []  # known by other means than a fit
    fitted = posterior.replace(sigmas={"energy": 0.01})
    (caution,) = cautions({}, fitted)
    assert caution.startswith("the error bars are not calibrated")
    assert cautions({}, fitted.replace(calibration={"property": 1.0})) == []
