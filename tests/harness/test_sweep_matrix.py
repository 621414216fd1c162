"""The matrix of a sweep: which cells a TOML file has, and what is wrong with one that has none."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from bitparity.errors import BadInput
from bitparity.sweep import matrix as documented
from bitparity.sweep.cell import Cell, Limits
from bitparity.sweep.matrix import read_matrix

SIDES = '[references]\n"llama.cpp" = {}\n[candidates]\nnative = {}\n'


def cells_of(folder: Path, text: str) -> tuple[Cell, ...]:
    path = folder / "matrix.toml"
    path.write_text(text)
    return read_matrix(path).cells


def test_example_of_the_documentation_is_a_matrix(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    (tmp_path / "libengine.so").touch()
    example = "\n".join(line for line in str(documented.__doc__).splitlines() if line.startswith("    "))
    cells = cells_of(tmp_path, textwrap.dedent(example))
    # 2 models, 2 threads, 2 chunkings, 4 prompts; `mine` in one format, two builds of `native` in both
    assert len(cells) == 2 * 2 * 2 * 4 * (1 + 2 * 2)
    assert {(cell.candidate.name, cell.build, cell.candidate.kernels) for cell in cells} == {
        ("mine", "", None),
        ("native", "portable", "portable"),
        ("native", "avx2", "avx2"),
    }
    assert {cell.limits for cell in cells} == {Limits()}
    assert {cell.candidate.engine for cell in cells if cell.candidate.name == "mine"} == {
        str(tmp_path / "libengine.so")
    }


def test_what_is_not_said_has_one_value(tmp_path: Path) -> None:
    (cell,) = cells_of(tmp_path, SIDES)
    assert (cell.model, cell.path, cell.weight_format, cell.threads, cell.chunks) == (
        "bitnet",
        None,
        None,
        None,
        "prefill",
    )
    assert (cell.reference.engine, cell.candidate.engine, cell.prompt.name) == (
        "llama.cpp",
        "native",
        "default",
    )


def test_cell_keeps_its_name_when_what_runs_under_it_changes(tmp_path: Path) -> None:
    first = '[references]\noracle = {}\n[candidates]\nmine = { engine = "./a.so" }\n'
    (before,) = cells_of(tmp_path, first)
    (after,) = cells_of(tmp_path, first.replace("a.so", "b.so"))
    (other,) = cells_of(tmp_path, first + "[prompts]\nshort = [1]\n")
    assert before.key == after.key != other.key


def test_cells_are_named_alike_on_every_machine(tmp_path: Path) -> None:
    keys = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.gguf").touch()
        keys |= {cell.key for cell in cells_of(tmp_path / name, 'models = ["model.gguf"]\n' + SIDES)}
    assert len(keys) == 1


def test_program_has_its_files_beside_the_matrix(tmp_path: Path) -> None:
    (tmp_path / "engine.py").touch()
    text = '[references]\noracle = {}\n[candidates]\nmine = { engine = "exec:python engine.py --fast" }\n'
    (cell,) = cells_of(tmp_path, text)
    assert cell.candidate.engine == f"exec:python {tmp_path / 'engine.py'} --fast"
    assert tmp_path / "engine.py" in cell.files()


def test_command_repeats_the_cell(tmp_path: Path) -> None:
    text = (
        'threads = [2]\nchunks = ["7"]\n[references]\n"a build" = { engine = "bitnet.cpp", '
        'environment = { BITNET_CPP_DIR = "/b" } }\n[candidates]\nnative = { kernels = "avx2" }\n'
        "[prompts]\nids = [1, 2]\n[limits]\nblame = true\nrequire = 'agree'\ntime_limit = 9\n"
    )
    (cell,) = cells_of(tmp_path, text)
    assert cell.command("model.gguf") == (
        "BITNET_CPP_DIR=/b bitparity compare model.gguf --reference bitnet.cpp --candidate native --chunks 7 "
        "--kernels avx2 --threads 2 --tokens 1,2 --require agree --time-limit 9 --blame"
    )


def test_skip_takes_lists_and_all_its_lines(tmp_path: Path) -> None:
    text = 'formats = ["F16", "TQ2_0", "I2_S"]\nthreads = [1, 2]\n' + SIDES
    text += '[[skip]]\nformat = ["TQ2_0", "I2_S"]\nthreads = 2\n'
    left = [(cell.weight_format, cell.threads) for cell in cells_of(tmp_path, text)]
    assert left == [("F16", 1), ("F16", 2), ("TQ2_0", 1), ("I2_S", 1)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models = [", "is not TOML"),
        ('modles = ["bitnet"]\n' + SIDES, "'modles' means nothing"),
        ('models = ["gone.gguf"]\n' + SIDES, "'gone.gguf' is no bundled model and no file"),
        ('formats = ["Q9"]\n' + SIDES, "'Q9' is none of"),
        ("threads = [0]\n" + SIDES, "whole numbers from 1"),
        ('chunks = ["often"]\n' + SIDES, "write prefill, decode, mixed"),
        ("[candidates]\nnative = {}\n", "references: name an engine"),
        ('[references]\n"llama.cpp" = {}\n[candidates]\nnative = { kernel = "avx2" }\n', "'kernel' means"),
        ('[references]\n"llama.cpp" = {}\n[candidates]\nnative = "native"\n', "write a table"),
        (SIDES + '[prompts]\nempty = ""\n', "prompts.empty: write a text"),
        (SIDES + "[limits]\nsteps = -1\n", "limits.steps: -1 is no whole number"),
        (SIDES + "[limits]\nblame = 1\n", "limits.blame: 1 is no true or false"),
        (SIDES + "[limits]\nrequire = 'luck'\n", "none of agree, explained, noise"),
        (SIDES + "[[skip]]\nspeed = 1\n", "skip: 'speed' means nothing"),
        (SIDES + "[[skip]]\ncandidate = 'native'\n", "every one is skipped"),
    ],
)
def test_matrix_that_says_nothing_sensible_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        cells_of(tmp_path, text)


def test_matrix_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_matrix(tmp_path / "matrix.toml")
