"""Wrong inputs of LAMMPS, one after the other in one process: `python lammps_wrong.py OUT` writes what is said to each."""

import json
import sys
from pathlib import Path

import lammps_ranks  # double precision, too
import numpy as np
from models import Crowd, Ewald, hopping

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.interop.lammps import start
from jaxpot.interop.lammps.engine import run_text

QUIET = ["-screen", "none", "-log", "none"]
BOX = """units metal
lattice diamond 5.431
region box block 0 2 0 2 0 2
create_box TYPES box
create_atoms 1 box
mass * 28.0855
pair_style jaxpot
pair_coeff * * MODEL
run 0
"""
CHARGED = BOX.replace("lattice", "atom_style charge\nlattice", 1)
HYBRID = BOX.replace("pair_style jaxpot", "pair_style hybrid jaxpot jaxpot")


def text(model, old="", new="", types=1, box=BOX):
    changed = box.replace("MODEL", model).replace("TYPES", str(types))
    return changed.replace(old, new, 1) if old else changed


WRONG = {  # name -> input, part of the sentence
    "units": (text("sw-silicon Si", "metal", "real"), "this input has units real; last input line: pair_coeff"),
    "fewer elements": (text("sw-silicon Si", types=2), "an element for each of 2 atom types"),
    "more elements": (text("sw-silicon Si Si"), "an element for each of 1 atom types, got sw-silicon Si Si"),
    "an unknown element": (text("sw-silicon Xx"), "got Xx"),
    "another element": (text("sw-silicon Ge"), "the model knows Si, and atom types are Ge"),
    "no element": (text("sw-silicon NULL"), "or NULL), got NULL"),
    "no model": (text("nowhere.model Si"), "nowhere.model: there is no such file"),
    "junk": (text("junk.model Si"), "junk.model: the format is not recognised"),
    "newton off": (text("sw-silicon Si", "lattice", "newton off\nlattice"), "needs newton on"),
    "arguments": (text("sw-silicon Si", "style jaxpot", "style jaxpot 3.0"), "takes no arguments"),
    "types by number": (text("sw-silicon Si", "* *", "1 1"), "must start with * *"),
    "no coefficients": (text("sw-silicon Si", "pair_coeff", "# pair_coeff"), "All pair coeffs are not set"),
    "before the box": ("units metal\npair_style jaxpot\npair_coeff * * sw-silicon Si\n", "before simulation box"),
    "at one point": (
        text("sw-silicon Si", "mass", "create_atoms 1 single 0.5 0.5 0.5\ncreate_atoms 1 single 0.5 0.5 0.5\nmass"),
        "two atoms are at one point",
    ),
    "charges that are not there": (text("charges Si"), "atom_style charge"),
    "charges with open boundaries": (
        text("charges Si", "lattice", "boundary p p f\nlattice", box=CHARGED), "periods along all three axes"
    ),
    "a model of all atoms": (text("crowd Si"), "depends on atoms of all ranks"),
    "two models side by side": (
        text("jaxpot 1 sw-silicon Si NULL\npair_coeff * * jaxpot 2 sw-silicon NULL Si", types=2, box=HYBRID),
        "All pair coeffs are not set",
    ),
    "virials of atoms of several hops": (
        text("hops Si", "run", "compute s all centroid/stress/atom NULL virial\nrun"), "centroid"
    ),
    "error bars of none": (
        text("sw-silicon Si", "run", "compute w all jaxpot/std\nthermo_style custom step c_w\nrun"), "no error bars"
    ),
    "computes before the style": (text("sw-silicon Si", "pair_style", "pair_style zero 5\npair_coeff * *\n"
        "compute w all jaxpot/std\nthermo_style custom c_w\nrun 0\npair_style"), "needs one pair_style jaxpot"),
    "pairs by themselves": (
        text("sw-silicon Si", "run", "compute g all group/group all\nthermo_style custom c_g\nrun"), "group/group"
    ),
}


if __name__ == "__main__":
    Path("junk.model").write_bytes(b"\x00\x01junk")
    models = {"charges": Ewald(np.array(1.0)), "crowd": Crowd(), "hops": hopping()}
    said, engine = {}, start(QUIET, models)
    for number, (name, (commands, _)) in enumerate(WRONG.items()):
        if number % 10 == 9:  # LAMMPS counts an input that it has refused as open, and opens 16
            engine.close()
            engine = start(QUIET, models)
        engine.command("clear")
        said[name] = None
        try:
            run_text(engine, commands)
        except DataError as error:
            said[name] = str(error)
    # What has been refused leaves nothing behind.
    engine.command("clear")
    run_text(engine, text("sw-silicon Si"))
    cell = lammps_ranks.diamond(5.431, ["Si", "Si"])
    if not np.isclose(engine.get_thermo("pe"), 32 * float(jp.evaluate(jp.load("sw-silicon"), cell).energy), rtol=1e-12):
        raise SystemExit("a wrong number after wrong inputs")
    Path(sys.argv[1]).write_text(json.dumps(said, indent=1))
    engine.finalize()
