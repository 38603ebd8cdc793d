import numpy as np
import pytest
from environments import environment

from jaxpot.errors import DataError
from jaxpot.potentials.constants import Constants


def test_each_element_has_its_energy():
    potential = Constants({"Si": -1.0, 6: -2.5})
    assert potential.species == (14, 6)
    near = environment([[1.0, 0.0, 0.0]], ["Si"], "C")
    assert potential.site_energy(near) == -2.5
    assert potential.site_energy(environment([[1.0, 0, 0]], ["C"], "Si")) == -1.0
    assert potential.cutoff == 0.0
    assert np.asarray(potential.extent()) == 0.0


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(energies=-1.0), "a dict"),
        (dict(energies={"Q": 1.0}), "'Q' is not an element"),
        (dict(energies={"Si": float("inf")}), "not finite"),
        (dict(energies=[1.0, 2.0], species=("Si",)), "expected 1 numbers"),
    ],
)
def test_mistakes_are_refused(arguments, says):
    with pytest.raises(DataError) as caught:
        Constants(**arguments)
    assert says in str(caught.value)
