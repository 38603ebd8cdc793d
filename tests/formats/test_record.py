"""A file format is one record: what it says is all that reading, saving and the commands know of it."""

import importlib
import inspect
import json
import pkgutil
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import jaxpot as jp
from jaxpot import catalog, formats
from jaxpot.cli.main import main
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.record import Family, FileList, Format, Option
from jaxpot.potentials import LennardJones

FILES = Path(__file__).parent / "files"


def read_toy(*paths, scale=1.0):
    """Lennard-Jones: `depth <eV>` in each file; depths add up."""
    depth = sum(float(Path(path).read_text().split()[1]) for path in paths)
    return LennardJones(float(scale) * depth, 2.0, 5.0)


def write_toy(potential, path):
    Path(path).write_text(f"depth {float(potential.epsilon)!r}\n")


TOY = Format(
    name="toy (.toy)",
    family=Family.BOND_ORDER,
    endings=(".toy",),
    contents=lambda head, path: head.startswith(b"depth "),
    read=read_toy,
    options=(Option("scale", "a factor of all depths", metavar="FACTOR"),),
    files=FileList("toys, which add up"),
    write=write_toy,
    written_as=(".toy",),
)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A file of the toy format, which is one more row of the table."""
    monkeypatch.setattr(catalog, "FORMATS", (*catalog.FORMATS, TOY))
    path = tmp_path / "a.toy"
    path.write_text("depth 0.25\n")
    return path


def test_a_format_is_read_by_its_record_alone(toy):
    assert jp.load(toy).epsilon == 0.25
    assert jp.load(toy, scale=2.0).epsilon == 0.5
    assert jp.load(toy, scale=None, species=None).epsilon == 0.25  # as if left out


def test_a_format_is_recognised_by_contents_and_by_names_in_any_case(toy):
    assert jp.load(toy.rename(toy.with_name("a.dat"))).epsilon == 0.25
    toy.with_name("B.TOY").write_text("# deep\n0.5")
    with pytest.raises(ValueError, match="deep"):  # of `read_toy`: the name says enough
        jp.load(toy.with_name("B.TOY"))
    toy.with_name("c.dat").write_text("height 1.0\n")
    with pytest.raises(FormatError, match=r"c\.dat: the format is not recognised; known are: .*; toy \(\.toy\)$"):
        jp.load(toy.with_name("c.dat"))


def test_a_format_is_written_by_the_ending_of_the_name(toy):
    jp.save(LennardJones(0.75, 2.0, 5.0), toy.with_name("new.TOY"))
    assert toy.with_name("new.TOY").read_text() == "depth 0.75\n"
    assert jp.load(toy.with_name("new.TOY")).epsilon == 0.75


def test_options_that_a_format_does_not_take_are_refused(toy):
    with pytest.raises(DataError, match=r"a\.toy: this format has no use for units='eV': leave that out .it takes scale"):
        jp.load(toy, units="eV")
    with pytest.raises(DataError, match="no format has the option depth; expected one of species, .*, scale"):
        jp.load(toy, depth=1.0)
    with pytest.raises(DataError, match="no format has the option depth"):  # a misspelled name has no value that is right
        jp.load(toy, depth=None)
    with pytest.raises(DataError, match=r"no use for scale=2\.0"):
        jp.load(FILES / "two_kinds.sw", scale=2.0)
    with pytest.raises(DataError, match="sw-silicon is made for Si; leave out scale"):
        jp.load("sw-silicon", scale=2.0)


def test_several_files_are_one_model_where_the_record_says_so(toy):
    other = toy.with_name("b.toy")
    other.write_text("depth 1.0\n")
    assert jp.load([toy, other], scale=2.0).epsilon == 2.5
    with pytest.raises(DataError, match=r"a list is for .*; or for toys, which add up, of which .*two_kinds\.sw is not one"):
        jp.load([toy, FILES / "two_kinds.sw"])
    with pytest.raises(DataError, match=r"a\.toy, .*b\.toy: this format has no use for species"):
        jp.load([toy, other], species="Si")
    with pytest.raises(FormatError, match=r"missing\.toy: cannot be read: No such file"):
        jp.load([toy, toy.with_name("missing.toy")])


def test_a_list_of_another_length_is_refused(toy, monkeypatch):
    pairs = replace(TOY, files=FileList("two toys", count=2))
    monkeypatch.setattr(catalog, "FORMATS", (*catalog.FORMATS[:-1], pairs))
    assert jp.load([toy, toy]).epsilon == 0.5
    with pytest.raises(DataError, match="or for two toys, of which 3 are given"):
        jp.load([toy, toy, toy])


def test_a_format_that_is_not_read_names_its_kin_until_a_record_claims_it(toy, monkeypatch):
    unread = toy.rename(toy.with_name("C.airebo"))
    kin = r"bond-order potentials that are read: LAMMPS Tersoff \(\.tersoff\); toy \(\.toy\)$"
    with pytest.raises(FormatError, match=f"AIREBO .* not read; {kin}"):
        jp.load(unread)  # whatever it looks like
    monkeypatch.setattr(catalog, "FORMATS", (*catalog.FORMATS[:-1], replace(TOY, endings=(".airebo",))))
    assert jp.load(unread).epsilon == 0.25


def test_the_commands_know_a_format_by_its_record(toy, capsys):
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "    toy (.toy) [scale]\n" in listed and "    scale: a factor of all depths\n" in listed
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["formats"]
    assert {"name": "toy (.toy)", "options": {"scale": "a factor of all depths"}} in listed
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "--scale FACTOR a factor of all depths" in " ".join(capsys.readouterr().out.split())
    toy.with_name("dimer.xyz").write_text("2\n\nAr 0 0 0\nAr 0 0 2.2449241\n")
    out = toy.with_name("e.json")
    words = ["evaluate", toy, toy.with_name("dimer.xyz"), "--scale", "4", "--out", out, "--quiet"]
    assert main(list(map(str, words))) == 0
    assert json.loads(out.read_text())["frames"][0]["energy"] < -0.9


def test_every_record_is_in_the_table():
    modules = [importlib.import_module(f"jaxpot.formats.{module.name}") for module in pkgutil.iter_modules(formats.__path__)]
    records = [value for module in modules for value in vars(module).values() if isinstance(value, Format)]
    assert len(records) == len(catalog.FORMATS) and set(map(id, records)) == set(map(id, catalog.FORMATS))


@pytest.mark.parametrize("record", catalog.FORMATS, ids=lambda record: record.name)
def test_a_reader_takes_the_options_of_its_record(record):
    parameters = inspect.signature(record.read).parameters
    keywords = {name for name, parameter in parameters.items() if parameter.default is not parameter.empty}
    names = {option.name for option in record.options}
    assert names <= keywords
    assert keywords - names <= ({"parameters"} if record.files else set())  # the second file of MEAM
    shared = {option.name: option for option in catalog.reader_options()}
    assert all(shared[option.name] is option for option in record.options)  # one flag, one meaning


@pytest.mark.parametrize("record", catalog.FORMATS, ids=lambda record: record.name)
def test_endings_are_lower_case_and_belong_to_one_format(record):
    assert all(ending == ending.lower() for ending in (*record.endings, *record.written_as))
    for other in catalog.FORMATS:
        if other is not record:
            assert not set(record.endings) & set(other.endings)
            assert not set(record.written_as) & set(other.written_as)


@pytest.mark.parametrize(
    "name, renamed", [("two_metals.eam.alloy", "metals.txt"), ("two_metals.eam.alloy", "metals.eam"), ("copper.eam", "cu.txt")]
)
def test_tables_of_eam_are_recognised_by_contents(name, renamed, tmp_path):
    shutil.copy(FILES / name, tmp_path / renamed)
    assert jp.load(tmp_path / renamed).species == jp.load(FILES / name).species


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mine.sw"
    shutil.copy(FILES / "two_kinds.sw", path)

    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(FormatError, match=r"mine\.sw: cannot be read: Permission denied"):
        jp.load(path)
