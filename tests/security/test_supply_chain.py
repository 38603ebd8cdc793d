"""Few packages, under licences that are known, of which a lock file holds the hashes."""

import re

import supply_chain
from packaging.requirements import Requirement


def test_jaxpot_needs_at_most_nine_packages():
    assert len(supply_chain.direct()) <= 9


def test_all_that_an_installation_brings_has_a_licence_that_is_allowed():
    assert "contourpy" in supply_chain.installed(), "what matplotlib needs comes, too"
    assert supply_chain.refused() == {}


def test_a_licence_that_is_not_allowed_is_told(monkeypatch):
    monkeypatch.setattr(supply_chain, "ALLOWED", supply_chain.ALLOWED - {"LGPL-2.1-or-later"})
    assert supply_chain.refused() == {"ase": ["LGPL-2.1-or-later"]}


def test_the_lock_file_holds_names_versions_and_hashes_and_nothing_else():
    lines = [line for line in supply_chain.LOCK.read_text().splitlines() if not line.startswith("#")]
    pinned = {}
    for line in lines:
        name, version = re.fullmatch(r"([a-z0-9-]+)==([\w.+!]+) --hash=sha256:[0-9a-f]{64}", line).groups()
        pinned[name] = version
    for requirement in supply_chain.direct():
        assert requirement.specifier.contains(pinned[requirement.name]), requirement
    assert set(pinned) > {requirement.name for requirement in supply_chain.direct()}


def test_the_lock_file_is_made_of_pips_report_without_its_addresses():
    report = {"install": [{
        "metadata": {"name": "Some_Package", "version": "1.0"},
        "download_info": {"url": "https://mirror.example/some.whl", "archive_info": {"hashes": {"sha256": "a" * 64}}},
    }]}
    assert supply_chain.locked(report) == [f"some-package==1.0 --hash=sha256:{'a' * 64}"]
    assert Requirement(supply_chain.locked(report)[0].split()[0]).name == "some-package"
