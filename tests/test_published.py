"""Published models by name: rows that agree with each other and with the files, and what `load` makes of a name."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import jaxpot as jp
from jaxpot import catalog, published
from jaxpot.core.elements import SYMBOLS
from jaxpot.errors import DataError, FormatError
from jaxpot.published import PUBLISHED, where

MODELS = {model.name: model for model in PUBLISHED}
ROWS = pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty folder of data, and another to work in."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "data"


@pytest.fixture
def kept(monkeypatch):
    """A published model that is here: silicon, as a file of jaxpot's own."""
    row = replace(MODELS["sevennet-0"], name="silicon-1", files=("silicon.model",))
    monkeypatch.setattr(published, "PUBLISHED", (*PUBLISHED, row))
    where("silicon-1").parent.mkdir(parents=True)
    jp.save(jp.load("sw-silicon"), where("silicon-1"))


@ROWS
def test_rows_are_complete(model):
    assert re.fullmatch(r"[0-9a-f]{64}", model.sha256) and model.size > 0 and model.cutoff > 0.0 and model.hops >= 0
    assert set(model.elements) <= set(SYMBOLS) and len(set(model.elements)) == len(model.elements)
    assert bool(model.package) != bool(model.repository)
    assert not model.package or re.fullmatch(r"[a-z]+==\d+\.\d+\.\d+", model.package), "packages are pinned"
    assert not model.repository or re.search(r"\(commit [0-9a-f]{40}\)$", model.repository)
    assert all(not os.path.isabs(name) and ".." not in name.split("/") for name in (model.place, *model.files))
    assert set(model.options) <= {option.name for option in catalog.reader_options()}
    assert model.trained_on and model.citation and model.licence.startswith(("MIT, ", "modified BSD"))


def test_names_are_unique():
    names = [model.name for model in (*jp.models(), *PUBLISHED)]
    assert len(set(names)) == len(names)
    assert len({model.sha256 for model in PUBLISHED}) == len(PUBLISHED)


def test_the_folder_is_that_of_the_user(home, monkeypatch):
    assert where("sevennet-0") == home / "jaxpot" / "models" / "sevennet-0" / "checkpoint_sevennet_0.pth"
    assert where("ani-1x") == home / "jaxpot" / "models" / "ani-1x"
    monkeypatch.setenv("HOME", "/home/someone")
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_DATA_HOME", unusable)
        assert where("ani-1x") == Path("/home/someone/.local/share/jaxpot/models/ani-1x")
    with pytest.raises(DataError, match="no published model is called 'sw-silicon'; expected sevennet-0, "):
        where("sw-silicon")


def test_several_files_have_the_checksum_of_what_sha256sum_prints():
    row = replace(MODELS["ani-1x"], files=("b", "a"))
    # printf 'one' > a; printf 'two' > b; sha256sum a b | sha256sum
    assert row.digest({"a": b"one", "b": b"two"}) == "d17138d96382403690482a89da33475336ab36c046a6912a86badedd62301cb8"


def test_a_name_that_is_not_here_is_answered_with_the_command():
    with pytest.raises(FormatError, match="sevennet-0: this published model is not .*`jaxpot models --fetch sevennet-0`"):
        jp.load("sevennet-0")
    with pytest.raises(FormatError, match=r"models/nequix-mp-1\.nqx from https://github.com.*--add nequix-mp-1 PATH`"):
        jp.load("nequix-mp-1", species=None)
    with pytest.raises(FormatError, match=r"no built-in model of that name \(built in: sw.*; published: sev"):
        jp.load("sevenet-0")


def test_a_name_that_is_here_is_loaded(kept):
    assert type(jp.load("silicon-1")) is type(jp.load("sw-silicon"))
    with pytest.raises(DataError, match=r"silicon\.model: this format has no use for modality='PBE'"):
        jp.load("silicon-1", modality="PBE")


def test_names_come_before_files(kept):
    jp.save(jp.load("cleri-rosato-copper"), "silicon-1")
    jp.save(jp.load("cleri-rosato-copper"), "sevennet-0")
    assert jp.load("silicon-1").species == (14,) and jp.load("./silicon-1").species == (29,)
    with pytest.raises(FormatError, match=r"the file of that name in this folder is \./sevennet-0"):
        jp.load("sevennet-0")
    assert jp.load("./sevennet-0").species == (29,)


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in MODELS if name != "ani-2x"])  # of which the folder has two members
def test_checksums_are_those_of_the_files(name):
    model, folder = MODELS[name], Path(os.environ["JAXPOT_DATA"]) / "models" / name
    contents = {file: (folder / file).read_bytes() for file in model.files}
    assert sum(map(len, contents.values())) == model.size and model.digest(contents) == model.sha256


@pytest.mark.data
def test_rows_say_what_the_files_say():
    folder = Path(os.environ["JAXPOT_DATA"]) / "models"
    for name, options in (("sevennet-0", {}), ("sevennet-mf-0", {"modality": "PBE"}), ("nequix-mp-1", {})):
        model = MODELS[name]
        potential = jp.load(folder / name / model.files[0], **options)
        assert (potential.cutoff, potential.hops) == (model.cutoff, model.hops)
        assert {SYMBOLS[z] for z in potential.species} == set(model.elements)
