"""The last stage of a card says how far it is."""

from concurrent.futures import Future
from threading import Timer
from types import SimpleNamespace

from jaxpot.report.card import _waited
from jaxpot.report.entries import thermal


def test_temperatures_that_are_done_are_counted():
    expanded, said = Future(), []
    study = SimpleNamespace(temperatures=range(31), temperatures_done=[1, 2])

    def say(text):
        said.append(text)
        study.temperatures_done.append(len(said))

    Timer(0.2, expanded.set_result, ["expanded"]).start()
    assert _waited(expanded, lambda: thermal.PROPERTY.progress(study), say, seconds=0.02) == "expanded"
    assert said[:2] == ["thermal expansion: 2 of 31 temperatures", "thermal expansion: 3 of 31 temperatures"]
