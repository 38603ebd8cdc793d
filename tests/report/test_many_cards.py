"""Cards of many crystals: what is done stays done, a bad crystal stops no other, and the table says it all."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from models import MODELS, SILICON, diamond, fcc, small_eam

import jaxpot as jp
from jaxpot.cli.main import main
from jaxpot.cli.many_cards import share
from jaxpot.core import programs
from jaxpot.core.few_shapes import few_shapes, lengthened, padded_mesh, rounded, rounded_waves
from jaxpot.core.programs import make_room_for_programs
from jaxpot.core.symmetry import full_mesh, reduced_mesh, space_group
from jaxpot.errors import ConvergenceError
from jaxpot.report.card import property_card
from jaxpot.report.cards_table import as_csv, as_html, as_json, figures, leaderboard, table
from jaxpot.report.many_cards import DONE, FAILED, Crystal, ManyCards, distinct_names

QUICK = {"mesh": 2, "dos_mesh": 3, "points": 12, "defects": False, "temperatures": [300.0]}
WORDS = ["--no-defects", "--mesh", "2", "--dos-mesh", "3", "--points", "12", "--quiet"]


@pytest.fixture(scope="module")
def card():
    return property_card(SILICON, diamond(5.43, ["Si", "Si"]), "silicon", **QUICK)


def crystals():
    good = diamond(5.43, ["Si", "Si"])
    return [
        Crystal("two", "two.xyz", good.repeated((2, 1, 1))), Crystal("one", "one.xyz", good),
        Crystal("lost", "lost.xyz", None, "there is no such file"), Crystal("bad", "bad.xyz", good),
    ]


def of_folder(folder, card, about=None, made=None):
    """`ManyCards` whose cards are all the same, but one that fails."""
    def make(crystal):
        made.append(crystal.name)
        if crystal.name == "bad":
            raise ConvergenceError("the crystal did not relax")
        return card

    made = [] if made is None else made
    return ManyCards(folder, crystals(), make, about or {"model": "x"})


def test_what_is_done_stays_done(tmp_path, card):
    made = []
    cards = of_folder(tmp_path, card, made=made)
    assert [crystal.name for crystal in cards.due()] == ["lost", "one", "bad", "two"], "the smallest first"
    seen = []
    cards.compute(cards.due(), lambda *words: seen.append(words))
    assert made == ["one", "bad", "two"] and seen[0] == (0, 4, "lost")
    assert [row["status"] for row in cards.rows()] == [DONE, DONE, FAILED, FAILED]
    assert cards.rows()[2]["message"] == "there is no such file" and "did not relax" in cards.rows()[3]["message"]
    assert cards.due() == []
    assert (tmp_path / "one" / "card.json").exists() and not (tmp_path / "one" / "card.html").exists()

    again = of_folder(tmp_path, card, made=made)
    again.forget_failures()
    assert {crystal.name for crystal in again.due()} == {"lost", "bad"}, "what has failed is tried again"
    assert len(of_folder(tmp_path, card, {"model": "y"}).due()) == 4, "another model, other cards"


def test_a_card_without_its_record_is_computed_again(tmp_path, card):
    cards = of_folder(tmp_path, card)
    cards.compute(cards.due())
    (tmp_path / "one" / "record.json").write_text('{"key": "half wri')
    (tmp_path / "two" / "card.json").unlink()
    assert [crystal.name for crystal in cards.due()] == ["one", "two"]


def test_errors_of_libraries_stop_no_other(tmp_path, card):
    def make(crystal):
        raise np.linalg.LinAlgError("singular")

    cards = ManyCards(tmp_path, crystals()[:2], make, {})
    cards.compute(cards.due())
    assert [row["message"] for row in cards.rows()] == ["LinAlgError: singular"] * 2


def test_names_of_folders():
    names = distinct_names(["a/b.cif", "A_b.cif", "fcc:Ni", "..", "../../etc/passwd", "x" * 300])
    assert len({name.lower() for name in names}) == len(names) and max(map(len, names)) <= 84
    assert not any("/" in name or name.startswith(".") for name in names)


def test_the_table(tmp_path, card):
    cards = of_folder(tmp_path, card)
    cards.compute(cards.due())
    flat = table(cards.rows())
    lines = list(csv.DictReader(io.StringIO(as_csv(flat))))
    assert [line["name"] for line in lines] == ["two", "one", "lost", "bad"]
    document = card.document()
    assert float(lines[1]["bulk_GPa"]) == document["bulk_GPa"]["value"] and lines[2]["bulk_GPa"] == ""
    assert float(lines[1]["c44_GPa"]) == document["elastic_GPa"]["value"]["c44"]
    assert float(lines[1]["highest_THz"]) == max(max(x) for x in document["phonons_THz"]["value"].values())
    assert json.loads(as_json(flat))["units"]["bulk_GPa"] == "GPa"
    page = as_html("<b>", flat)
    assert "&lt;b&gt;" in page and "did not relax" in page and page.count("<img") == 2
    assert len(figures(flat)) == 2


def test_several_models_are_compared(card):
    row = {"name": "one", "given": "", "status": DONE, "message": "", "card": card.document()}
    softer = json.loads(json.dumps(card.document()))
    softer["bulk_GPa"]["value"] *= 0.9
    rows = [row | {"model": "a"}, row | {"model": "b", "card": softer}, row | {"model": "c", "card": None, "status": FAILED}]
    flat = table(rows)
    board = leaderboard(flat)
    assert [entry["model"] for entry in board][0] == "b" and board[0]["bulk_GPa"] == pytest.approx(0.1)
    assert board[0]["a_A"] == 0.0 and board[1]["cards"] == 0
    assert len(figures(flat)) == 3 and "model" in as_csv(flat).splitlines()[0]


def test_lengths_are_rounded_inside_only():
    assert rounded(37) == 37
    with few_shapes():
        ladder = [rounded(count) for count in range(1, 400)]
        assert all(a <= b for a, b in zip(ladder, ladder[1:], strict=False))
        assert all(count <= size <= 1.5 * count + 1 for count, size in enumerate(ladder, 1))
        assert rounded(5, 32) == 32 and rounded(0) == 0
        q, weights = padded_mesh(np.arange(15.0).reshape(5, 3), np.full(5, 0.2))
        assert len(q) == 256 and (q[5:] == q[4]).all()
        assert weights.sum() == pytest.approx(1.0) and (weights[5:] == 0.0).all()
        assert [rounded_waves(count) for count in (0, 256, 257, 1000)] == [0, 256, 512, 1024]
    assert rounded(37) == 37 and rounded_waves(37) == 37
    assert len(lengthened(np.zeros((9, 3)))) == 9


def test_programs_are_forgotten_before_they_fill_the_table_of_the_memory(monkeypatch):
    forgotten = []
    monkeypatch.setattr(programs.jax, "clear_caches", lambda: forgotten.append(True))
    make_room_for_programs()
    assert not forgotten, "this process is far from it"
    monkeypatch.setattr(programs, "_SHARE", 1e-6)
    make_room_for_programs()
    assert forgotten or not programs._TABLE.exists()


@pytest.mark.parametrize("name", ["stillinger-weber", "eam, two elements", "two hops with angles", "network of bonds"])
def test_meshes_are_reduced_as_by_all_operations(name):
    structure = MODELS[name][1]
    for mesh, shift in (((6, 6, 6), False), ((4, 4, 3), (False, False, True)), ((5, 4, 4), False)):
        q, _ = full_mesh(mesh, shift)
        index = {tuple(np.round(2 * np.array(mesh) * point).astype(int) % (2 * np.array(mesh))): k for k, point in enumerate(q)}
        lowest = np.arange(len(q))
        for rotation in space_group(structure, 1e-5).rotations:
            for sign in (1, -1):
                images = [index.get(tuple(np.round(2 * np.array(mesh) * (sign * point @ rotation)).astype(int) % (2 * np.array(mesh)))) for point in q]
                exact = np.abs(2 * np.array(mesh) * (q @ rotation) - np.round(2 * np.array(mesh) * (q @ rotation))).max() < 1e-9
                if exact and None not in images:
                    lowest = np.minimum(lowest, images)
        while (lowest[lowest] != lowest).any():
            lowest = lowest[lowest]
        reduced, weights = reduced_mesh(structure, mesh, shift)
        assert len(reduced) == len(set(lowest.tolist())) and weights.sum() == pytest.approx(1.0)


@pytest.mark.thorough
@pytest.mark.parametrize("of", [
    (SILICON, diamond(5.43, ["Si", "Si"])),
    (small_eam("Ni", "Al"), MODELS["eam, two elements"][1]),
    (small_eam("Cu"), jp.Structure(np.array([[0, 0, 0], [1.3, 1.25, 1.9]]), np.diag([2.55, 2.45, 3.6]), ["Cu", "Cu"])),
])
def test_cards_in_few_shapes_are_the_same(of):
    """Arrays are longer, and more displacements are looked along: no number changes beyond rounding."""
    plain = property_card(*of, "x", **QUICK).document()
    with few_shapes():
        rounded_up = property_card(*of, "x", **QUICK).document()
    assert_alike(plain, rounded_up)


def assert_alike(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_alike(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_alike(x, y)
    elif isinstance(a, float):
        assert b == pytest.approx(a, rel=1e-6, abs=1e-6)
    else:
        assert a == b


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with crystals, one of them of another element and one damaged."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "crystals"
    folder.mkdir()
    jp.to_ase(diamond(5.40, ["Si", "Si"])).write(folder / "silicon.xyz")
    jp.to_ase(fcc(3.6, "Cu")).write(folder / "copper.cif")
    (folder / "damaged.cif").write_text("data_\n_cell_length_a nonsense\n")
    return tmp_path


def test_the_command(here, capsys):
    words = ["card", "sw-silicon", "--structures", "crystals", "diamond:Si", *WORDS, "--out", "cards", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    status = {row["name"]: (row["status"], row["message"]) for row in document["rows"]}
    assert status["silicon"][0] == status["diamond_Si"][0] == "done"
    assert "Cu" in status["copper"][1] and status["damaged"][0] == "failed"
    assert document["computed"] == 4 and document["failed"] == 2
    assert (here / "cards" / "cards.html").exists() and (here / "cards" / "silicon" / "card.json").exists()
    volumes = [row["volume_per_atom_A3"] for row in document["rows"] if row["status"] == "done"]
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-6)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["computed"] == 2, "those that have failed are tried again"


@pytest.mark.parametrize(("words", "message"), [
    (["--structures", "nothing", "--name", "x"], "--name is the title of one card"),
    (["--structure", "diamond:Si", "--workers", "2"], "go with --structures"),
    (["--structures", "x", "--structure", "y"], "not allowed with"),
    (["--structures", "empty"], "no files in this folder"),
    ([], "is required"),
])
def test_wrong_words(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["card", "sw-silicon", *words, "--out", "cards"]) == 2
    assert message in capsys.readouterr().err


def test_folders_that_cannot_be_read_or_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locked").mkdir()
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "diamond_Si").write_text("a file where the folder of a card belongs")
    words = ["card", "sw-silicon", "--structures", "diamond:Si", *WORDS, "--out", "cards"]
    assert main(words) == 2
    assert "diamond_Si: the folder of this crystal's card cannot be made" in capsys.readouterr().err

    whole = Path.iterdir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert main(["card", "sw-silicon", "--structures", "locked", *WORDS, "--out", "cards"]) == 2
    assert "--structures locked: this folder cannot be read: Permission denied" in capsys.readouterr().err


@pytest.mark.thorough
def test_two_workers_and_two_models(here, capsys):
    command = [
        sys.executable, "-m", "jaxpot", "card", "--model", "sw-silicon", "--model", "finnis-sinclair-iron", "--structures",
        "crystals", "diamond:Si", *WORDS, "--workers", "2", "--pictures", "--out", "cards",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = list(csv.DictReader((here / "cards" / "cards.csv").open()))
    assert len(lines) == 8 and {line["model"] for line in lines} == {"sw-silicon", "finnis-sinclair-iron"}
    assert (here / "cards" / "sw-silicon" / "silicon" / "card.html").exists()
    assert sum(line["status"] == "done" for line in lines) == 2


@pytest.mark.slow
def test_a_run_that_is_killed_loses_nothing(here):
    for k in range(6):
        jp.to_ase(diamond(5.3 + 0.05 * k, ["Si", "Si"])).write(here / "crystals" / f"more-{k}.xyz")
    command = [sys.executable, "-m", "jaxpot", "card", "sw-silicon", "--structures", "crystals", *WORDS, "--workers", "2", "--out"]
    assert subprocess.run([*command, "whole"], timeout=600).returncode == 0
    rng = np.random.default_rng(0)
    for _ in range(20):
        process = subprocess.Popen([*command, "cards"], start_new_session=True)
        time.sleep(rng.uniform(1.0, 8.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run([*command, "cards"], timeout=600).returncode == 0
    assert (here / "cards" / "cards.csv").read_text() == (here / "whole" / "cards.csv").read_text()


def test_checksums_tell_crystals_apart():
    assert Crystal("a", "b").atoms == 0
    assert len({Crystal("a", "b").digest(), Crystal("a", "c").digest(), crystals()[0].digest(), crystals()[1].digest()}) == 4


def test_workers_have_as_many_atoms_each():
    crystals = [Crystal(str(k), "", diamond(5.43, ["Si", "Si"]).repeated((1, 1, 1 + k // 5))) for k in range(10)]
    crystals.insert(0, Crystal("a prototype", "fcc:Ni"))
    for parts in (1, 2, 3, 20):
        shares = [share(crystals, k, parts) for k in range(parts)]
        assert sum(shares, []) == crystals
    assert [len(share(crystals, k, 2)) for k in (0, 1)] == [8, 3] and share([], 0, 2) == []


def test_a_damaged_card_is_a_row_that_says_so(tmp_path, card):
    cards = of_folder(tmp_path, card)
    cards.compute(cards.due())
    (tmp_path / "one" / "card.json").write_text('{"half')
    row = cards.rows()[1]
    assert row["status"] == FAILED and "cannot be read" in row["message"] and row["card"] is None


def test_no_card_at_all_is_an_error(tmp_path, capsys):
    words = ["card", "sw-silicon", "--structures", str(tmp_path / "nowhere.xyz"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "no card could be made" in capsys.readouterr().err and (tmp_path / "out" / "cards.csv").exists()
