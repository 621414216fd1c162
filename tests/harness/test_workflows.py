"""What is in .github: valid by schema, safe by zizmor, and its shell steps run as far as they can here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from bitparity.cli import COMMANDS
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.sweep.matrix import read_matrix

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
PAGE = ROOT / "docs" / "parity-in-your-ci.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BIN = Path(sys.executable).parent


def program(name: str) -> str:
    found = shutil.which(name, path=str(BIN))
    if found is None:
        pytest.skip(f"{name} is not installed; it comes with the extra `lint`")
    return found


def read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step, with a name for it."""
    for workflow in WORKFLOWS:
        for job, content in read(workflow)["jobs"].items():
            for number, step in enumerate(content["steps"]):
                yield f"{workflow.stem}-{job}-{number}", step
    for number, step in enumerate(read(ACTION)["runs"]["steps"]):
        yield f"action-{number}", step


SCRIPTS = {name: step["run"] for name, step in steps() if "run" in step}


def test_there_is_a_workflow_for_tests_nights_wheels_and_docs() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "nightly", "test", "wheels"]
    assert len(SCRIPTS) > 10


@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-workflows", WORKFLOWS), ("github-actions", [ACTION])],
    ids=["workflows", "action"],
)
def test_files_are_valid_by_their_schema(schema: str, files: list[Path]) -> None:
    command = [program("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing() -> None:
    command = [
        program("zizmor"),
        "--offline",
        "--no-progress",
        str(ROOT / ".github" / "workflows"),
        str(ACTION),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "No findings" in done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_of_a_step_is_sound_bash(name: str) -> None:
    done = subprocess.run(["bash", "-n"], input=SCRIPTS[name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_targets_of_make_exist() -> None:
    targets = {word for script in SCRIPTS.values() for word in re.findall(r"\bmake ([\w./-]+)", script)}
    assert {"test", "nightly", "sanitize", ".venv/ready"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(VENV)", ".venv")
    for target in targets:
        pattern = rf"^(\S+ )*{re.escape(target)}( \S+)*:|^READY := {re.escape(target)}$"
        assert re.search(pattern, makefile, re.MULTILINE), target


def test_commands_and_their_options_exist() -> None:
    seen = set()
    for script in SCRIPTS.values():
        joined = script.replace("\\\n", " ")
        for command, rest in re.findall(r"bitparity ([a-z-]+)([^\n|]*)", joined):
            assert command in COMMANDS, command
            known = {
                option
                for parameter in import_module(f"bitparity.cli.{command.replace('-', '_')}").command.params
                for option in parameter.opts
            }
            used = set(re.findall(r"--[a-z][a-z-]+", rest))
            assert used <= known, f"bitparity {command}: {used - known}"
            seen.add(command)
    assert {"compare", "sweep", "report"} <= seen


def test_extras_exist() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    text = "\n".join([*SCRIPTS.values(), PAGE.read_text(encoding="utf-8"), (ROOT / "Makefile").read_text()])
    used = {
        extra
        for group in re.findall(r"(?:'\.|SOURCE|bitparity)\[([\w,-]+)\]", text)
        for extra in group.split(",")
    }
    assert used
    assert used <= set(extras)


def test_wheel_is_built_for_the_pythons_that_are_promised() -> None:
    built = {tag.removeprefix("cp3").removesuffix("-*") for tag in PROJECT["tool"]["cibuildwheel"]["build"]}
    promised = {
        c.rpartition(".")[2] for c in PROJECT["project"]["classifiers"] if re.search(r"Python :: 3\.\d+$", c)
    }
    assert built == promised
    assert PROJECT["project"]["requires-python"] == f">=3.{min(map(int, promised))}"
    tested = {
        row["python"]
        for row in read(ROOT / ".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["include"]
    }
    assert {f"3.{min(map(int, promised))}", f"3.{max(map(int, promised))}"} <= tested


def test_command_that_tests_a_wheel_passes_without_a_reference() -> None:
    command = PROJECT["tool"]["cibuildwheel"]["test-command"]
    done = subprocess.run(
        [BIN / "bitparity", *command.split()[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "AGREE  native and oracle" in done.stdout


@pytest.mark.parametrize(("reference", "least"), [("llama.cpp", 60), ("bitnet.cpp", 180)])
def test_nightly_matrix_can_be_read_and_runs_its_reference(reference: str, least: int) -> None:
    cells = read_matrix(ROOT / f".github/nightly-{reference}.toml").cells
    assert len(cells) >= least
    assert {cell.reference.name for cell in cells} == {reference}


def test_no_workflow_builds_an_engine_that_others_wrote() -> None:
    """bitnet.cpp is built by its own instructions, by whoever runs it."""
    every = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert "microsoft/BitNet" not in every
    assert "cmake -S" not in every


def ten_lines() -> str:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def test_page_has_ten_lines_at_most_that_are_a_workflow(tmp_path: Path) -> None:
    assert len(ten_lines().splitlines()) <= 10
    copied = tmp_path / "parity.yml"
    copied.write_text(ten_lines(), encoding="utf-8")
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(copied)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    given = set(read(copied)["jobs"]["parity"]["steps"][-1]["with"])
    inputs = read(ACTION)["inputs"]
    assert given <= set(inputs)
    assert {name for name, value in inputs.items() if value.get("required")} <= given


@pytest.mark.parametrize(("arguments", "code"), [("--limit 1e-4 --tokens 5,6,7", 0), ("--tokens 999999", 2)])
def test_step_of_the_action_compares_and_tells_the_runner(arguments: str, code: int, tmp_path: Path) -> None:
    make_model(tmp_path / "m.gguf", ModelSpec(n_layer=1, n_vocab=320, context_length=64))
    (script,) = (step["run"] for _, step in steps() if step.get("id") == "compare")
    told = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary"}
    inputs = {"CANDIDATE": "oracle", "REFERENCE": "oracle", "MODEL": "m.gguf", "ARGUMENTS": arguments}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | inputs | {name: str(file) for name, file in told.items()} | {"PATH": path}
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(bash, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert told["GITHUB_OUTPUT"].read_text() == f"exit-code={code}\n"
    summary = told["GITHUB_STEP_SUMMARY"].read_text()
    assert ("AGREE" if code == 0 else "outside the vocabulary") in summary
    assert (tmp_path / "parity" / "parity.html").exists() == (code == 0)


def test_step_of_the_action_takes_a_bundled_model_where_none_is_named() -> None:
    (script,) = (step["run"] for _, step in steps() if step.get("id") == "compare")
    assert '${MODEL:+"$MODEL"}' in script
    words = 'set -- ${MODEL:+"$MODEL"}; echo $#'
    for model, count in (("", "0"), ("a b.gguf", "1")):
        done = subprocess.run(
            ["bash", "-c", words], env={"MODEL": model}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == count
