"""The page of a sweep: every cell with its verdict, history and page of its run, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="records need pyarrow")
pytest.importorskip("duckdb", reason="reading records needs duckdb")

from bitparity.records.history import Change, History, read_history
from bitparity.records.store import write_record
from bitparity.report.sweep_page import Shown, hue_of, render_sweep, write_sweep_page
from harness.browser import chromium, opened, overflow
from harness.sample_records import RUNS, sample_records
from harness.test_report import result_of


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """The sample records; the last run of one cell has a whole result."""
    folder = tmp_path_factory.mktemp("records")
    for number, record in enumerate(sample_records()):
        result = (
            json.dumps(result_of([0.0, 0.1]).as_dict())
            if record.run == RUNS[-1] and number % 24 == 0
            else None
        )
        write_record(replace(record, result=result), folder)
    return read_history(folder)


@pytest.fixture(scope="module")
def page_file(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "sweep.html"
    write_sweep_page(history, path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def test_page_of_a_run_is_written_for_every_cell_that_has_a_result(history: History, page_file: Path) -> None:
    (run,) = page_file.with_name("sweep-runs").iterdir()
    assert run.stem == history.cells[0].last.cell
    assert f'href="sweep-runs/{run.name}"' in page_file.read_text(encoding="utf-8")


def test_outcome_without_a_verdict_has_a_colour_of_its_own() -> None:
    assert {hue_of("diverged"), hue_of("agree")} == {"diverged", "agree"}
    assert hue_of("worker lost") == hue_of("not compared") == "suspect"


def test_matrix_and_table_show_every_cell_as_it_is_recorded(
    browser: Any, history: History, page_file: Path
) -> None:
    with opened(browser, page_file) as page:
        places = page.evaluate(
            "[...document.querySelectorAll('#matrix td[data-cell]')]"
            ".map(cell => [cell.dataset.cell, cell.textContent.trim()])"
        )
        rows = page.evaluate(
            "[...document.querySelectorAll('#cells tbody tr')].map(row => [row.id.slice(1), "
            "row.querySelector('.verdict').textContent, "
            "[...row.querySelectorAll('.square')].map(s => s.title)])"
        )
    outcomes = {cell.last.cell: cell.last.outcome for cell in history.cells}
    assert dict(places) == outcomes
    assert {cell: verdict for cell, verdict, _ in rows} == outcomes
    for cell in history.cells:
        (titles,) = [squares for name, _, squares in rows if name == cell.last.cell]
        assert titles == [f"{outcome.run}: {outcome.outcome}" for outcome in cell.outcomes]
        assert len(titles) == len(RUNS)


def test_link_of_a_verdict_opens_the_page_of_its_run(browser: Any, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.locator("#cells td.verdict a").first.click()
    assert "sweep-runs" in page.url
    assert page.locator("#positions tbody tr").count() == 2
    page.close()


def test_cell_that_only_earlier_runs_have_is_shown_as_missing(history: History, tmp_path: Path) -> None:
    lost = replace(history.cells[0], change=Change.MISSING)
    page = render_sweep(history, [Shown(lost, "missing", None)])
    assert re.search(
        r'<td class="place suspect"[^>]*><i class="square suspect"></i> <a[^>]*>missing</a>', page
    )


@pytest.mark.parametrize("width", [1000, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_of_a_sweep_fits_its_window(browser: Any, page_file: Path, width: int, scheme: str) -> None:
    with opened(browser, page_file, width=width, scheme=scheme) as page:
        assert overflow(page) <= 0
        matrix = page.locator(".scroll", has=page.locator("#matrix"))
        assert width < 1000 or matrix.evaluate("box => box.scrollWidth <= box.clientWidth")
        page.locator("#cells th button", has_text="seconds").click()
