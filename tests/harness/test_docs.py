"""The site builds without a warning, and what stands in two places is the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import bitparity
from bitparity.cli import COMMANDS
from bitparity.formats import FORMATS
from bitparity.stages import STAGE_NAMES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed; it comes with the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_reference_has_every_command_name_stage_and_format(site: Path) -> None:
    reference = site / "reference"
    for page, names in (
        ("cli", COMMANDS),
        ("python", bitparity.__all__),
        ("stages", STAGE_NAMES),
        ("formats", FORMATS),
    ):
        text = text_of(reference / page / "index.html")
        assert [name for name in names if name not in text] == []


def test_docstrings_keep_their_columns(site: Path) -> None:
    page = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    assert re.search(r"<code>limit {5}judge by this limit on 1 - cosine", page)


def test_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert fetched == [], page


def test_no_placeholder_is_left(site: Path) -> None:
    assert not [page for page in site.rglob("*.html") if re.search(r"\[\[\w+\]\]", page.read_text())]


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert re.search(rf"^## {re.escape(project['version'])}\b", changelog, re.MULTILINE)


def test_links_of_the_readme_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / name).read_text(encoding="utf-8")):
            assert target.startswith("https://") or (ROOT / target).exists(), f"{name}: {target}"


def test_every_change_that_waits_for_a_release_is_put_into_the_changelog() -> None:
    program = Path(sys.executable).with_name("towncrier")
    if not program.is_file():
        pytest.skip("towncrier, of the extra `lint`, is not installed")
    command = [str(program), "build", "--draft", "--version", "9.9.9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    files = [file for file in (ROOT / "changes").iterdir() if file.name != "README.md"]
    assert all(" ".join(file.read_text(encoding="utf-8").split()) in said for file in files)
    assert "<!-- changes are put in here -->\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
