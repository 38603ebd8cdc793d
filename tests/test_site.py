"""The documentation site: its front page is HTML, not markdown, its links lead somewhere, and commands are all there."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("nbconvert")
pytest.importorskip("nbclient")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("documentation_site", ROOT / "notebooks" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_front_page_is_no_markdown_and_its_links_lead_somewhere(site):
    page = site.front_page()
    shown = re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", "", shown.partition("<body>")[2])
    assert not re.search(r"`|\*\*|^#|\]\(", text, flags=re.MULTILINE)
    names = [path.stem for path in site.notebooks()]
    assert sorted(names) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert tuple(names) == site.READING  # a new notebook has its place in the order
    links = re.findall(r'href="([^"#][^"]*)"', page)
    assert links == ["tour.html", *(f"{name}.html" for name in names), "lammps.html", "what_works.html", "commands.html", "api/jaxpot.html"]
    assert re.findall(r'src="([^"]+)"', page) == list(site.PICTURES)
    assert all((ROOT / "notebooks" / name).exists() for name in site.PICTURES)


def test_the_tour_is_a_page_of_its_own(site):
    page = site.text_page("tour")
    shown = re.sub(r"<(pre|code).*?</\1>", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", "", shown.partition("<body>")[2])
    assert "jp.fit_form" in page and "Learning on the fly" in page
    assert not re.search(r"`|\*\*|^#|\]\(", text, flags=re.MULTILINE)


def test_the_page_of_lammps_has_tables(site):
    page = site.text_page("lammps")
    text = re.sub(r"<[^>]*>", "", re.sub(r"<(pre|code).*?</\1>", "", page, flags=re.DOTALL).partition("<body>")[2])
    assert page.count("<table") == 3 and "Slurm" in site.front_page()
    assert not re.search(r"`|\*\*|^#|\]\(|^\|", text, flags=re.MULTILINE)


def test_the_table_of_what_works_is_a_table(site):
    page = site.text_page("what_works")
    text = re.sub(r"<[^>]*>", "", re.sub(r"<(pre|code).*?</\1>", "", page, flags=re.DOTALL).partition("<body>")[2])
    assert page.count("<tr>") > 20 and "<th" in page and "✓" in text
    assert not re.search(r"`|\*\*|^#|\]\(|^\|", text, flags=re.MULTILINE)


def test_every_notebook_is_in_the_readme_in_that_order(site):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = readme.partition("\n- Notebooks:")[2].partition("\n- ")[0]
    assert re.findall(r"\(notebooks/(\w+)\.ipynb\)", listed) == list(site.READING)


def test_every_command_has_usage_options_and_examples(site):
    from jaxpot.cli.main import COMMANDS

    page = site.commands_page()
    sections = dict(re.findall(r'<h2 id="([\w-]+)">.*?<pre>(.*?)</pre>', page, flags=re.DOTALL))
    assert list(sections) == [module.NAME for module in COMMANDS]
    for name, text in sections.items():
        assert f"usage: jaxpot {name}" in text and "--json" in text and "examples:" in text
    assert "--temperatures K" in sections["card"]
    assert set(re.findall(r'href="#([\w-]+)"', page)) == set(sections)
