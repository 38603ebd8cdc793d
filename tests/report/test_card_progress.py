"""The last stage of a card says how far it is."""

from concurrent.futures import Future
from threading import Timer

from jaxpot.report.card import _waited


def test_temperatures_that_are_done_are_counted():
    thermal, done, said = Future(), [1, 2], []

    def say(text):
        said.append(text)
        done.append(len(said))

    Timer(0.2, thermal.set_result, ["expanded"]).start()
    assert _waited(thermal, done, 31, say, seconds=0.02) == "expanded"
    assert said[:2] == ["thermal expansion: 2 of 31 temperatures", "thermal expansion: 3 of 31 temperatures"]
