"""The page of a run: the data that it draws, and the page itself in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitparity import Comparison, Prompt, Side, compare_engines, open_model, read_result, read_settings
from bitparity.compare.result import ComparisonResult
from bitparity.faults.catalogue import CATALOGUE
from bitparity.faults.plant import plant
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.engine import OracleEngine
from bitparity.report.heat import COLUMNS, make_heat
from bitparity.report.html import render_page, visible, write_page
from bitparity.report.stage_table import stage_rows
from harness.browser import chromium, opened, overflow

FAULT = next(fault for fault in CATALOGUE if fault.name == "scaled weight")  # layer 1, ffn_up
TOKENS = tuple(range(5, 17))
STAGES = 21  # of BitNet's graph


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ComparisonResult:
    """The oracle against itself with a fault, its stages judged, as it is read back from its JSON."""
    folder = tmp_path_factory.mktemp("run")
    make_model(folder / "m.gguf", ModelSpec(n_layer=2, n_vocab=320, context_length=64))
    model = open_model(folder / "m.gguf")
    sound = OracleEngine()
    sides = Side(sound, model), Side(plant(FAULT, sound), model)
    prompts = [Prompt(tokens=TOKENS), Prompt(tokens=TOKENS[:3])]
    comparison = Comparison(*sides, prompts=prompts, settings=read_settings(), command="bitparity compare")
    compare_engines(comparison, limit=1e-9, blame=True).save(folder / "result.json")
    return read_result(folder / "result.json")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page_file(result: ComparisonResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "run.html"
    write_page(result, path)
    return path


def test_heat_maps_hold_every_error_that_blame_found(result: ComparisonResult) -> None:
    assert result.blame is not None
    heat = make_heat(result)
    assert heat is not None
    assert [column[:2] for column in heat.columns] == [(p, p) for p in range(len(TOKENS))]
    assert heat.rows[0] == (-1, "embeddings")
    assert heat.rows[-1] == (-1, "logits")
    for drawn, found in zip(
        heat.maps,
        (result.blame["expected"]["stages"], result.blame["actual"]["stages"], result.blame["differences"]),
        strict=True,
    ):
        for stage in found:
            assert drawn.errors[heat.rows.index((stage["layer"], stage["stage"]))] == stage["errors"]


def test_only_the_planted_stage_is_drawn_as_wrong(result: ComparisonResult) -> None:
    heat = make_heat(result)
    assert heat is not None
    planted = heat.rows.index((FAULT.layer, FAULT.stage))
    assert heat.maps[0].guilty == []
    assert heat.maps[1].guilty == [(planted, position) for position in range(len(TOKENS))]


def test_worst_error_of_a_stage_is_that_of_its_positions(result: ComparisonResult) -> None:
    assert result.blame is not None
    for difference in result.blame["differences"]:
        assert max(difference["errors"]) == pytest.approx(difference["worst"], rel=1e-2)


def test_long_run_shows_the_worst_of_neighbouring_positions(result: ComparisonResult) -> None:
    assert result.blame is not None
    n = 3 * COLUMNS
    errors = [1e-8] * n
    errors[100] = 0.5
    stage = {"layer": 0, "stage": "ffn_up", "errors": errors, "guilty_at": [100]}
    side = result.blame["actual"] | {"stages": [stage], "positions": list(range(n))}
    heat = make_heat(replace(result, blame={**result.blame, "expected": side, "actual": side}))
    assert heat is not None
    assert len(heat.columns) == COLUMNS
    row = heat.maps[0].errors[heat.rows.index((0, "ffn_up"))]
    assert [(i, e) for i, e in enumerate(row) if e != 1e-8] == [(33, 0.5)]
    assert heat.columns[33][:2] == (99, 101)
    assert [column for _, column in heat.maps[0].guilty] == [33]


def test_stage_table_has_a_row_a_stage_and_names_the_wrong_layers(result: ComparisonResult) -> None:
    assert result.blame is not None
    rows = {row.stage: row for row in stage_rows(result.blame)}
    assert len(rows) == STAGES
    for name, row in rows.items():
        assert row.expected is not None
        assert row.actual is not None
        assert row.expected.guilty == ""
        assert row.actual.guilty == (str(FAULT.layer) if name == FAULT.stage else "")


def test_stage_that_is_not_finite_is_told_so(result: ComparisonResult) -> None:
    assert result.blame is not None
    broken = [s | {"error": None, "excess": None} for s in result.blame["actual"]["stages"]]
    side = result.blame["actual"] | {"stages": broken}
    page = render_page(replace(result, blame={**result.blame, "actual": side}))
    assert page.count("not finite") >= 2 * STAGES


@pytest.mark.parametrize(
    ("piece", "shown"), [(" the", "␣the"), ("\n\n", "⏎⏎"), ("a b ", "a b␣"), ("  ", "␣␣"), ("", "")]
)
def test_spaces_and_line_ends_of_a_piece_can_be_seen(piece: str, shown: str) -> None:
    assert visible(piece) == shown


def test_page_escapes_what_tokens_say(result: ComparisonResult) -> None:
    evil = "</script><b onclick='x'>&"
    page = render_page(replace(result, pieces=dict.fromkeys(map(str, TOKENS), evil)))
    assert evil not in page
    assert "<b onclick" not in page


@pytest.mark.parametrize("width", [1000, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_its_window_in_both_schemes(browser: Any, page_file: Path, width: int, scheme: str) -> None:
    with opened(browser, page_file, width=width, scheme=scheme) as page:
        assert overflow(page) <= 0
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)")


def test_table_shows_every_position_as_it_was_measured(
    browser: Any, page_file: Path, result: ComparisonResult
) -> None:
    with opened(browser, page_file) as page:
        shown = page.evaluate(
            "[...document.querySelectorAll('#positions tbody tr')].map(row => [row.id, ...[...row.cells]"
            ".map(cell => cell.dataset.value ?? cell.textContent)])"
        )
        columns = page.evaluate("[...document.querySelectorAll('#positions th')].map(h => h.textContent)")
        dots = page.locator("circle").count()
    at = columns.index("relative L2") + 1
    assert dots == len(result.positions)
    assert [row[0] for row in shown] == [f"p{r.prompt}-{r.position}" for r in result.positions]
    assert [float(row[at]) for row in shown] == [r.metrics.relative_l2 for r in result.positions]
    assert [row[columns.index("verdict") + 1] for row in shown] == [
        r.judged.verdict.value for r in result.positions
    ]


def test_click_on_a_heading_sorts_and_a_second_one_turns_round(browser: Any, page_file: Path) -> None:
    rows = "[...document.querySelectorAll('#positions tbody tr')]"
    values = rows + ".map(row => Number(row.cells[COLUMN].dataset.value))"
    with opened(browser, page_file) as page:
        columns = page.evaluate("[...document.querySelectorAll('#positions th')].map(h => h.textContent)")
        script = values.replace("COLUMN", str(columns.index("relative L2")))
        before = page.evaluate(script)
        heading = page.locator("#positions th button", has_text="relative L2")
        heading.click()
        assert page.evaluate(script) == sorted(before)
        heading.click()
        assert page.evaluate(script) == sorted(before, reverse=True)
        assert before != sorted(before)


def cell_text(page: Any, which: int, line: int, column: int) -> str:
    """What is shown over a cell of a heat map, found by where it was drawn."""
    script = """([which, line, column]) => { const c = document.querySelectorAll("canvas.heat")[which];
      c.scrollIntoView({block: "center"}); const box = c.getBoundingClientRect(), at = layout(c, c.lines);
      return [box.left + GUTTER + (column + 0.5) * at.wide, box.top + (line + 0.5) * at.high]; }"""
    page.mouse.move(*page.evaluate(script, [which, line, column]))
    return str(page.locator("#tip").text_content())


def test_every_map_says_the_error_of_the_cell_under_the_pointer(
    browser: Any, page_file: Path, result: ComparisonResult
) -> None:
    assert result.blame is not None
    sides = (
        result.blame["expected"]["stages"],
        result.blame["actual"]["stages"],
        result.blame["differences"],
    )
    with opened(browser, page_file) as page:
        page.select_option("#view", f"stage:{FAULT.stage}")
        for which, stages in enumerate(sides):
            for layer, position in ((0, 0), (1, 3), (1, len(TOKENS) - 1)):
                (stage,) = [s for s in stages if (s["layer"], s["stage"]) == (layer, FAULT.stage)]
                text = cell_text(page, which, layer, position)
                assert text.startswith(f"layer {layer} {FAULT.stage}, position {position}")
                (shown,) = re.findall(r": (\d\S*e[+-]\d+|0e\+0)(?:,|$)", text)
                assert float(shown) == pytest.approx(stage["errors"][position], rel=0.06)
                assert text.endswith(", wrong") == (which == 1 and layer == FAULT.layer)


def test_layer_whose_stage_is_wrong_opens_with_a_click(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        assert ", wrong" in cell_text(page, 1, 2, 0)  # embeddings, layer 0, layer 1
        page.mouse.down()
        page.mouse.up()
        assert page.input_value("#view") == "layer:1"
        page.locator("canvas.heat").nth(1).focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#tip").text_content().startswith("layer 1 ")


def test_click_on_a_stage_shows_it_in_the_maps(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        page.locator(f'tr[data-stage="{FAULT.stage}"]').click()
        assert page.input_value("#view") == f"stage:{FAULT.stage}"


def test_button_changes_the_scheme_and_print_is_light_and_whole(browser: Any, page_file: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, page_file, scheme="dark") as page:
        page.locator("button.theme").click()
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        page.locator("button.theme").click()
        assert page.evaluate(paper) == "rgb(20, 24, 29)"
        page.emulate_media(media="print")
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"
        assert page.pdf()[:4] == b"%PDF"


def test_page_without_stages_has_no_heat_map_and_no_error(
    browser: Any, result: ComparisonResult, tmp_path: Path
) -> None:
    write_page(replace(result, blame=None, pieces={}), tmp_path / "plain.html")
    with opened(browser, tmp_path / "plain.html", width=400) as page:
        assert page.locator("canvas").count() == 0
        assert overflow(page) <= 0


def test_result_keeps_the_errors_by_position_as_plain_data(result: ComparisonResult) -> None:
    again = json.loads(json.dumps(result.as_dict()))
    assert again["blame"]["actual"]["positions"] == list(range(len(TOKENS)))
    assert set(again["pieces"]) >= {str(token) for token in TOKENS}
