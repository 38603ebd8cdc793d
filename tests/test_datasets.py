"""Public data sets: from a folder, from the network, from the cache, and never what is not verified."""

import hashlib
import io
import json
import os
import urllib.error
import urllib.request

import numpy as np
import pytest

from jaxpot import datasets, units
from jaxpot.errors import DataError, FormatError


def entry(element, group, description):
    """A structure as in the repository: VASP's stress tensor in kB, with the sign of a pressure."""
    site = {"species": [{"element": element, "occu": 1}], "xyz": [0.0, 0.0, 0.0], "abc": [0.0, 0.0, 0.0]}
    return {
        "structure": {"lattice": {"matrix": (3.0 * np.eye(3)).tolist()}, "sites": [site, {**site, "xyz": [1.5, 1.5, 1.5]}]},
        "outputs": {"energy": -10.0, "forces": [[0.1, 0, 0], [-0.1, 0, 0]], "virial_stress": [10, 20, 30, 40, 50, 60]},
        "group": group, "description": description,
    }


@pytest.fixture
def network(monkeypatch, tmp_path):
    """No JAXPOT_DATA, an empty cache, and a network that holds what the test puts there."""
    monkeypatch.delenv("JAXPOT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    held, asked = {}, []

    def urlopen(address, timeout):
        asked.append(address)
        if address not in held:
            raise urllib.error.URLError("unreachable")
        return io.BytesIO(held[address])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)

    def put(element, split, entries, **changes):
        data = json.dumps(entries).encode()
        known = datasets._File(len(data), hashlib.sha256(data).hexdigest())
        monkeypatch.setitem(datasets._FILES, (element, split), known)
        held[f"{datasets._ADDRESS}/{element}/{datasets._SPLITS[split]}.json"] = changes.get("instead", data)
        return asked

    return put


@pytest.mark.parametrize(
    ("element", "group", "shear"),
    [("Li", "AIMD-NVT", "xy yz xz"), ("Si", "Elastic", "xy yz xz"), ("Si", "AIMD-NVT", "xy xz yz"), ("Mo", "Elastic", "xy xz yz")],
)
def test_units_signs_and_order(network, element, group, shear):
    asked = network(element, "train", [entry(element, group, "Snapshot 1 of 2 of a simulation at 300 K")])
    data = datasets.mlearn(element)
    gpa = dict(zip(["xx", "yy", "zz", *shear.split()], [-1, -2, -3, -4, -5, -6], strict=True))
    for name, value in gpa.items():
        assert data[0].stress["xyz".index(name[0]), "xyz".index(name[1])] == pytest.approx(value * units.GPa, rel=1e-12)
    assert data[0].config_type == f"{group}_300K" and data[0].energy == -10.0 and data.e0_origin == "least squares"
    np.testing.assert_array_equal(data[0].forces, [[0.1, 0, 0], [-0.1, 0, 0]])
    assert asked == [f"{datasets._ADDRESS}/{element}/training.json"] and datasets._COMMIT in asked[0]


def test_the_second_time_nothing_is_downloaded(network, tmp_path):
    asked = network("Si", "test", [entry("Si", "Elastic", "Ground state crystal")])
    first = datasets.mlearn("Si", "test", e0={"Si": -1.0})
    assert first.e0 == {14: -1.0} and first[0].config_type == "Ground_state"
    assert datasets.mlearn("Si", "test")[0].energy == first[0].energy and len(asked) == 1
    (kept,) = tmp_path.rglob("test.json")
    kept.write_bytes(kept.read_bytes()[:-1])  # damaged: downloaded anew
    datasets.mlearn("Si", "test")
    datasets.mlearn("Si", "test")
    assert len(asked) == 2


def test_what_is_not_as_expected_is_not_kept(network, tmp_path):
    entries = [entry("Si", "Elastic", "x")]
    network("Si", "train", entries, instead=json.dumps(entries).encode() + b" ")
    with pytest.raises(DataError, match="is not what it was: sha256"):
        datasets.mlearn("Si")
    assert not list(tmp_path.rglob("*.json"))
    network("Si", "train", [{"structure": {}}])
    with pytest.raises(FormatError, match="Si/training.json: not the structures that were expected"):
        datasets.mlearn("Si")


def test_the_largest_are_known_by_the_name_of_git(network, monkeypatch):
    entries = [entry("Cu", "Elastic", "Ground state crystal")]
    network("Cu", "train", entries)
    data = json.dumps(entries).encode()
    name = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    monkeypatch.setitem(datasets._FILES, ("Cu", "train"), datasets._File(10**6, blob=name))
    assert len(datasets.mlearn("Cu")) == 1
    monkeypatch.setitem(datasets._FILES, ("Cu", "train"), datasets._File(10**6, blob="0" * 40))
    with pytest.raises(DataError, match=f"is not what it was: git blob {name}, expected 0000"):
        datasets.mlearn("Cu")


def test_without_network_it_is_said_what_to_do(network):
    with pytest.raises(DataError, match="cannot be downloaded .*unreachable.*set JAXPOT_DATA"):
        datasets.mlearn("Ge")
    for wrong in (("Fe", "train"), ("Si", "training"), ("si", "train")):
        with pytest.raises(DataError, match="mlearn has Cu, Ge, Li, Mo, Ni, Si"):
            datasets.mlearn(*wrong)


def test_a_folder_without_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXPOT_DATA", str(tmp_path))
    with pytest.raises(FormatError, match="train.xyz: no such file"):
        datasets.mlearn("Si")


@pytest.mark.data
@pytest.mark.parametrize(("element", "counts"), [("Si", (214, 13233)), ("Ni", (263, 27420))])
def test_from_the_folder(element, counts):
    train = datasets.mlearn(element)
    assert (len(train), train.n_atoms) == counts and train.summary().labels["stress"] == len(train)
    test = datasets.mlearn(element, "test", e0=train.e0)
    assert test.e0 == train.e0 and set(test.config_types) <= set(train.config_types) | {"Vacancy_300K", "Vacancy_3000K"}
    assert os.path.join("mlearn", element, "test.xyz") in test[0].source
