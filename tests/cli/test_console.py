"""What a command says of its progress, and of a stage that takes long."""

import time

from jaxpot.cli import console as module


def said(capsys, monkeypatch, work):
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    console = module.Console()
    console.progress("phonons")
    work()
    console._watch.cancel()
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
    console = module.Console()
    for stage in ("one", "two", "three"):
        console.progress(stage)
        time.sleep(0.1)
    console._watch.cancel()
    assert "without" not in capsys.readouterr().err
