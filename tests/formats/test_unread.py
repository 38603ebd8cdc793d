from pathlib import Path

import pytest

import jaxpot as jp
from jaxpot.errors import FormatError

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize(
    "name, what, instead",
    [
        ("a.sw.mod", "`sw/mod`", "Stillinger-Weber (.sw)"),
        ("SiC.tersoff.zbl", "`tersoff/zbl`", "Tersoff (.tersoff)"),
        ("Si.tersoff.mod", "`tersoff/mod`", "Tersoff (.tersoff)"),
        ("Si.tersoff.modc", "`tersoff/mod/c`", "Tersoff (.tersoff)"),
        ("Si.tersoff.shift", "`tersoff/shift`", "Tersoff (.tersoff)"),
        ("PdHHe.eam.he", "`eam/he`", ".eam.fs"),
        ("AlCu.adp", "`adp`", ".eam.alloy"),
        ("Si.meam.spline", "`meam/spline`", ".eam.alloy"),
        ("ffield.comb", "`comb`", ".tersoff"),
        ("AlCu.bop.table", "`bop`", ".tersoff"),
        ("Si.edip", "`edip`", ".sw"),
        ("InP.vashishta", "`vashishta`", ".sw"),
        ("Ta06A.mliap.model", "`mliap`", "GAP (QUIP's .xml)"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, name, what, instead):
    """Even where the contents look like something else: an .adp begins as a setfl file does."""
    path = tmp_path / name
    path.write_bytes((FILES / "two_metals.eam.alloy").read_bytes())
    with pytest.raises(FormatError) as caught:
        jp.load(path)
    assert what in str(caught.value) and instead in str(caught.value) and name in str(caught.value)


def test_what_jaxpot_has_saved_may_have_any_name(tmp_path):
    jp.save(jp.potentials.StillingerWeber.silicon(), tmp_path / "my.meam")
    assert jp.load(tmp_path / "my.meam").species == (14,)
