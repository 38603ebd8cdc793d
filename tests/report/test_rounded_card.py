"""A card where bonds are straight: of the potential whose second derivatives are what atoms feel that move."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.potentials import CHGNet
from jaxpot.report.card import property_card

COPPER = jp.load(Path(__file__).parents[1] / "formats" / "files" / "copper.eam")
NETWORK = CHGNet.random(3, ("Cu",), cutoff=3.2, short=2.9, channels=4, hops=2, radial=3, angular=2)


@pytest.mark.slow  # second derivatives through hops: a minute of compiling
def test_the_card_is_of_the_rounded_potential_and_says_so():
    potential = COPPER + 0.1 * NETWORK
    card = property_card(
        potential, bulk("Cu", a=3.6), "Cu", mesh=2, dos_mesh=3, points=6, temperatures=[300.0], defects=False
    )
    (note,) = [text for text in card.meta["warnings"] if "180 degrees" in text]
    assert "potential.rounded()" in note and "meV an atom" in note
    crystal = card.results["crystal"]
    again = jp.phonons(potential.rounded(), crystal, [[0.5, 0.5, 0.0]]).frequencies
    shown = np.asarray(card.results["phonons"]["frequencies"])
    assert np.abs(shown - np.asarray(again)).max(axis=1).min() < 1e-6 * shown.max()
