"""What a command says of its progress, and of a stage that takes long."""

import time

import pytest

from jaxpot.cli import console as module
from jaxpot.cli import main


def said(capsys, monkeypatch, work):
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with module.Console() as console:
        console.progress("phonons")
        work()
    return capsys.readouterr().err


def test_a_stage_that_waits_without_working_is_told(capsys, monkeypatch):
    text = said(capsys, monkeypatch, lambda: time.sleep(0.7))
    assert text.count('at "phonons", without using the processor') >= 2


def test_a_stage_that_works_is_told_to_be_at_work(capsys, monkeypatch):
    def busy():
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            sum(range(1000))

    assert 'min at "phonons", at work' in said(capsys, monkeypatch, busy)


def test_the_next_stage_is_watched_anew(capsys, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    with module.Console() as console:
        for stage in ("one", "two", "three"):
            console.progress(stage)
            time.sleep(0.1)
    assert "without" not in capsys.readouterr().err


@pytest.mark.parametrize("line", [["models"], ["relax", "sw-silicon", "missing.xyz", "--out", "x.xyz"]])
def test_the_watch_ends_with_the_command_however_it_ends(line, capsys, monkeypatch):
    # Left running, it told of the command in whatever the process did next.
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    monkeypatch.setattr(main.models, "run", lambda options, console: console.progress("a stage"))
    main.main([*line, "--no-cache"])
    capsys.readouterr()
    time.sleep(0.2)
    assert capsys.readouterr().err == ""
