"""`jaxpot models`: published models fetched out of wheels and added from files, and nothing kept that is not right.

The wheels are tiny and made on the spot; where pip would be started, a stand-in writes one.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import jaxpot as jp
from jaxpot import published
from jaxpot.cli import kept_models, models, wheels
from jaxpot.published import PUBLISHED, where

SILICON, FOLDER = "silicon-1", "silicon-folder"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def run(call, tmp_path, monkeypatch):
    """Run the command with an empty folder of data: (exit code, standard output, standard error)."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return call


@pytest.fixture
def contents(run, monkeypatch):
    """Files of the wheel of `small==1.0.0`, which carries two of three models that are published for the test."""
    jp.save(jp.load("sw-silicon"), "silicon.model")
    data = Path("silicon.model").read_bytes()
    parts = {"a.params": b"parameters", "train0/b": b"weights"}
    one = replace(
        PUBLISHED[0], name=SILICON, files=("silicon.model",), place="small/weights/silicon.model", size=len(data),
        sha256=sha256(data), package="small==1.0.0",
    )
    several = replace(one, name=FOLDER, files=("train0/b", "a.params"), place="small/folder", size=17, sha256="")
    several = replace(several, sha256=several.digest(parts))
    elsewhere = replace(one, name="silicon-2", package="", repository="https://example.org")
    rows = (one, several, elsewhere)
    for module in (published, models):
        monkeypatch.setattr(module, "PUBLISHED", rows)
    return {
        "small/__init__.py": b"raise SystemExit", "../outside": b"x", one.place: data,
        **{f"small/folder/{name}": part for name, part in parts.items()},
    }


@pytest.fixture
def pip(contents, monkeypatch):
    """A stand-in for pip, with what it was asked; `failure` is what it says instead of downloading."""
    state = {"asked": [], "failure": None, "names": ["small-1.0.0-py3-none-any.whl"], "files": contents}

    def started(command, cwd, stdin, env, **options):
        assert "shell" not in options and stdin == subprocess.DEVNULL and env["PIP_NO_INPUT"] == "1"
        folder = command[command.index("-d") + 1]
        assert not list(Path(folder).iterdir()) and cwd == Path(folder), "Python looks for pip in its working folder"
        state["asked"].append([word for word in command if word != folder])
        if state["failure"]:
            return subprocess.CompletedProcess(command, 1, "", state["failure"])
        for name in state["names"]:
            with zipfile.ZipFile(Path(folder) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
                for file, data in state["files"].items():
                    wheel.writestr(file, data)
        return subprocess.CompletedProcess(command, 0, "Saved", "")

    monkeypatch.setattr(wheels.subprocess, "run", started)
    return state


def everything_in(tmp_path):
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())


# Lists --------------------------------------------------------------------------------------------------------


def test_the_list_says_what_there_is_and_how_to_get_it(run):
    code, out, _ = run("models")
    assert code == 0
    assert "sw-silicon" in out and "89 elements; cutoff 5.0 A, 5 hops; modality: PBE or R2SCAN" in out
    assert "H, C, N, O; cutoff 5.2 A, local; member: 0 to 7" in out and "MIT, Copyright (c) 2024 Yutack Park" in out
    assert "not here: `jaxpot models --fetch sevennet-0`" in out and "`jaxpot models --add nequix-mp-1 PATH`" in out


def test_the_list_as_json(contents, run):
    run("models", "--add", SILICON, "silicon.model")
    code, out, _ = run("models", "--json")
    document = json.loads(out)
    assert code == 0 and {record["name"] for record in document["models"]} == {m.name for m in jp.models()}
    first, second, third = document["published"]
    assert first["path"] == str(where(SILICON)) and second["path"] is None and third["package"] is None
    assert set(first) == {
        "name", "elements", "cutoff_A", "hops", "trained_on", "options", "licence", "citation", "package", "repository",
        "place", "sha256", "bytes", "command", "path",
    }
    assert second["command"] == f"jaxpot models --fetch {FOLDER}" and third["command"].endswith("--add silicon-2 PATH")


# Fetched --------------------------------------------------------------------------------------------------------


def test_a_model_is_fetched_and_loaded(pip, run, tmp_path):
    code, out, err = run("models", "--fetch", SILICON)
    assert code == 0 and "licence: MIT" in out and str(where(SILICON)) in out
    assert "pip is downloading small==1.0.0" in err and "taking silicon-1 out of small-1.0.0" in err
    expected = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-d", "small==1.0.0"]
    assert pip["asked"] == [expected]
    assert jp.load(SILICON).species == (14,)
    assert everything_in(tmp_path) == ["data/jaxpot/models/silicon-1/silicon.model", "work/silicon.model"]


def test_models_of_one_package_are_downloaded_together(pip, run, tmp_path):
    code, out, err = run("models", "--fetch", SILICON, FOLDER, SILICON, "--json")
    assert code == 0 and len(pip["asked"]) == 1
    assert [record["name"] for record in json.loads(out)["kept"]] == [SILICON, FOLDER]
    assert (where(FOLDER) / "train0" / "b").read_bytes() == b"weights"
    assert len(everything_in(tmp_path / "data")) == 3


def test_a_model_that_is_here_is_not_downloaded_again_unless_damaged(pip, run):
    run("models", "--fetch", SILICON)
    code, _, err = run("models", "--fetch", SILICON)
    assert code == 0 and len(pip["asked"]) == 1 and "is here already" in err
    data = where(SILICON).read_bytes()
    where(SILICON).write_bytes(b"x" * len(data))
    assert run("models", "--fetch", SILICON)[0] == 0 and len(pip["asked"]) == 2
    assert where(SILICON).read_bytes() == data


def test_nothing_is_downloaded_for_a_name_that_cannot_be_fetched(pip, run):
    code, _, err = run("models", "--fetch", SILICON, "no-such-model")
    assert code == 2 and f"'no-such-model' is not known; published models are: {SILICON}, {FOLDER}, silicon-2" in err
    code, _, err = run("models", "--fetch", SILICON, "silicon-2")
    assert code == 2 and "no package on PyPI has this model" in err and "`jaxpot models --add silicon-2 PATH`" in err
    code, _, err = run("models", "--fetch", "sw-silicon")
    assert code == 2 and "'sw-silicon' is built in, and is here" in err
    assert pip["asked"] == []


@pytest.mark.parametrize(("failure", "words"), [
    ("/usr/bin/python3: No module named pip\n", "has no pip to download small==1.0.0 with: python -m ensurepip"),
    ("WARNING: Retrying\nERROR: No matching distribution found for small==1.0.0\n[notice] new pip\n",
     "pip cannot download small==1.0.0: ERROR: No matching distribution found for small==1.0.0. Without pip or network"),
    ("unreachable\n", "pip cannot download small==1.0.0: unreachable. Without pip or network here: take small/weights"),
    (" \n", "it says nothing"),
])
def test_a_failure_of_pip_is_one_sentence(pip, run, tmp_path, failure, words):
    pip["failure"] = failure
    code, out, err = run("models", "--fetch", SILICON, "--quiet")
    assert code == 2 and words in err and len(err.splitlines()) == 1 and not out
    assert f"`jaxpot models --add {SILICON} PATH`" in err
    assert everything_in(tmp_path / "data") == []


def test_a_python_that_cannot_be_started(pip, run, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(wheels.subprocess, "run", refused)
    code, _, err = run("models", "--fetch", SILICON)
    assert code == 2 and "cannot be started for pip: Permission denied" in err


PLACE = "small/weights/silicon.model"


@pytest.mark.parametrize(("change", "words"), [
    (lambda files: files.pop(PLACE), f"small-1.0.0-py3-none-any.whl: the wheel has no file {PLACE}"),
    (lambda files: files.update({PLACE: files[PLACE] + bytes(10**7)}), "is larger than the"),
    (lambda files: files.update({PLACE: files[PLACE][:-1] + b"x"}), "as it was published: it has the sha256"),
    (lambda files: files.update({PLACE: b""}), f"sha256 {sha256(b'')}, expected"),
])
def test_a_wheel_that_is_not_what_it_was(pip, run, tmp_path, change, words):
    change(pip["files"])
    code, _, err = run("models", "--fetch", SILICON)
    assert code == 2 and words in err
    assert everything_in(tmp_path / "data") == []


def test_other_wheels_than_one(pip, run):
    for names in ([], ["a-1-py3-none-any.whl", "b-1-py3-none-any.whl"]):
        pip["names"] = names
        code, _, err = run("models", "--fetch", SILICON)
        assert code == 2 and f"pip has downloaded {len(names)} wheels for small==1.0.0; expected one" in err


def test_a_wheel_that_is_damaged(pip, run, tmp_path):
    pip["names"], pip["files"] = ["small-1.0.0-py3-none-any.whl"], {}
    wheel = tmp_path / "damaged.whl"
    for data in (b"", b"PK", b"PK\x05\x06" + bytes(10)):
        wheel.write_bytes(data)
        with pytest.raises(jp.errors.FormatError, match=r"damaged\.whl: the wheel is damaged"):
            wheels.members(wheel, ["x"], 10)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x", b"abc")
    wheel.write_bytes(wheel.read_bytes().replace(b"abc", b"abd"))
    with pytest.raises(jp.errors.FormatError, match="damaged: Bad CRC"):
        wheels.members(wheel, ["x"], 10)


def test_all_files_together_are_limited(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        archive.writestr("a", b"12345")
        archive.writestr("b", b"12345")
    assert wheels.members(tmp_path / "w.whl", ["a", "b"], 10) == {"a": b"12345", "b": b"12345"}
    with pytest.raises(jp.errors.FormatError, match="b is larger than the 4 bytes"):
        wheels.members(tmp_path / "w.whl", ["a", "b"], 9)


# Added -----------------------------------------------------------------------------------------------------------


def test_a_file_is_added(contents, run):
    code, out, _ = run("models", "--add", "silicon-2", "silicon.model", "--json")
    (record,) = json.loads(out)["kept"]
    assert code == 0 and record["path"] == str(where("silicon-2")) and record["licence"].startswith("MIT")
    assert Path("silicon.model").exists() and jp.load("silicon-2").species == (14,)


def test_of_a_folder_only_what_belongs_to_the_model_is_kept(contents, run, tmp_path):
    Path("given/train0").mkdir(parents=True)
    Path("given/LICENSE").write_text("not part of it")
    Path("given/a.params").write_bytes(b"parameters")
    code, _, err = run("models", "--add", FOLDER, "given")
    assert code == 2 and "with its 2 files (train0/b, a.params); 1 of them are not there: train0/b" in err
    Path("given/train0/b").write_bytes(b"weights")
    assert run("models", "--add", FOLDER, "given")[0] == 0
    assert run("models", "--add", FOLDER, where(FOLDER))[0] == 0  # over itself
    assert everything_in(tmp_path / "data") == [
        f"jaxpot/models/{FOLDER}/{name}" for name in ("a.params", "train0/b")
    ]


@pytest.mark.parametrize(("name", "path", "words"), [
    (SILICON, "nowhere", "nowhere: there is no such file or folder; expected the file of silicon-1, silicon.model"),
    (SILICON, ".", ".: this is a folder; expected the file of silicon-1, silicon.model"),
    (FOLDER, "silicon.model", "silicon.model: this is a file; expected the folder of silicon-folder"),
    (SILICON, "short", "short is not silicon-1 as it was published: expected "),
    ("no-such-model", "silicon.model", "'no-such-model' is not known"),
])
def test_a_path_that_is_not_the_model(contents, run, tmp_path, name, path, words):
    Path("short").write_bytes(b"abc")
    code, _, err = run("models", "--add", name, path)
    assert code == 2 and words in err and everything_in(tmp_path / "data") == []


def test_another_file_is_not_kept_and_leaves_the_one_that_is(contents, run):
    run("models", "--add", SILICON, "silicon.model")
    data = where(SILICON).read_bytes()
    wrong = data[:-1] + b"x"
    Path("wrong").write_bytes(wrong)
    code, _, err = run("models", "--add", SILICON, "wrong")
    assert code == 2 and f"the sha256 {sha256(wrong)}, expected {sha256(data)}; nothing was kept" in err
    assert Path("wrong").read_bytes() == wrong and where(SILICON).read_bytes() == data


def test_an_interruption_leaves_nothing_half(contents, run, tmp_path, monkeypatch):
    Path("given/train0").mkdir(parents=True)
    Path("given/a.params").write_bytes(b"parameters")
    Path("given/train0/b").write_bytes(b"weights")
    write = kept_models.write_atomically

    def interrupted(path, data):
        if path.name == "a.params":
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(kept_models, "write_atomically", interrupted)
        assert run("models", "--add", FOLDER, "given")[0] == 130
    assert list((tmp_path / "data" / "jaxpot" / "models").iterdir()) == [] and not where(FOLDER).exists()
    assert run("models", "--add", FOLDER, "given")[0] == 0


def test_a_folder_that_cannot_be_written_to(contents, run, tmp_path):
    (tmp_path / "data").write_text("a file in the way")
    code, _, err = run("models", "--add", SILICON, "silicon.model")
    assert code == 2 and "cannot be written" in err


def test_a_model_that_is_not_here_ends_a_command_with_2(run):
    code, out, err = run("evaluate", "sevennet-0", "x.xyz", "--out", "x.json", "--json")
    assert code == 2 and "`jaxpot models --fetch sevennet-0`" in err
    assert json.loads(out)["error"]["type"] == "FormatError"


@pytest.mark.parametrize(("flags", "words"), [
    (["--fetch"], "expected at least one argument"),
    (["--add", "nequix-mp-1"], "expected 2 arguments"),
    (["--fetch", "ani-1x", "--add", "ani-2x", "x"], "not allowed with argument"),
])
def test_mistakes_in_the_command_line(run, flags, words):
    code, _, err = run("models", *flags)
    assert code == 2 and words in err
