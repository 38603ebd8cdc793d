"""Elastic constants of quartz by name, ours and those of pymatgen's conversion to IEEE axes, in two settings.

    python benchmarks/elastic_axes.py quartz.cif SiO.tersoff

The second setting is the same crystal with its atoms turned by 180 degrees about c in the same lattice (r and z setting
of the structure). pymatgen takes X along the conventional a that spglib returns, which of the two settings it is given;
tests/physics/test_elastic.py holds the numbers.
"""

import sys

import jax
import numpy as np
import pymatgen.core
from pymatgen.analysis.elasticity import ElasticTensor

jax.config.update("jax_enable_x64", True)

import jaxpot as jp
from jaxpot.io import read


def main(structure_file, potential_file):
    potential = jp.load(potential_file)
    crystal = jp.relax(potential, read(structure_file)[0], cell=True, fmax=1e-10, steps=2000).structure
    turned = crystal.moved(crystal.positions @ np.diag([-1.0, -1.0, 1.0]))
    for setting, structure in (("as it is", crystal), ("turned", turned)):
        result = jp.elastic_constants(potential, structure)
        ours = {name: round(float(value) / jp.units.GPa, 4) for name, value in result.independent.items()}
        print(f"{setting}: jaxpot, Laue class {result.laue_class}: {ours}")
        parts = map(np.asarray, (structure.cell, structure.numbers, structure.fractional))
        peer = pymatgen.core.Structure(*parts)
        tensor = ElasticTensor.from_voigt(np.asarray(result.voigt) / jp.units.GPa)
        row = tensor.convert_to_ieee(peer, initial_fit=False).voigt[0, :4]
        print(f"{setting}: pymatgen C11, C12, C13, C14: {np.round(row, 4).tolist()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
