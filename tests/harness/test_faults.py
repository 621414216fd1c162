"""The fault catalogue: every fault changes something, is found in native too, and a miss is reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitparity.cli.selftest import command
from bitparity.engine import Engine
from bitparity.errors import BadInput
from bitparity.faults.catalogue import CATALOGUE, Fault
from bitparity.faults.plant import can_be_planted, find, plant
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.oracle.engine import OracleEngine
from bitparity.registry import get_engine, with_every_kernel_set

TOKENS = [(37 * i + 11) % 320 for i in range(8)]
TOKENS_OF_SEVERAL_CALLS = [(37 * i + 11) % 256 for i in range(12)]
FAULT = {fault.name: fault for fault in CATALOGUE}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "model.gguf"
    make_model(path, ModelSpec(arch="bitnet-b1.58", n_layer=2, n_ff=512, n_vocab=320))
    return path


def test_catalogue_has_the_faults_that_engines_really_had() -> None:
    assert len(CATALOGUE) >= 150
    assert len(FAULT) == len(CATALOGUE)
    assert all(fault.alter or (fault.switches and fault.definition) for fault in CATALOGUE if not fault.row)


def problems(path: Path, faults: Iterable[Fault]) -> tuple[int, list[str]]:
    """How many faults a model can have, and what is amiss with those that blame does not name."""
    model, oracle, planted = open_model(path), OracleEngine(), 0
    wrong: list[str] = []
    for fault in faults:
        if can_be_planted(fault, oracle, model):
            planted += 1
            finding = find(fault, oracle, path, TOKENS_OF_SEVERAL_CALLS)
            wrong += [] if finding.is_found else [f"{fault.name}: {finding.problem}"]
    return planted, wrong


def test_every_mistake_of_the_table_is_named_from_its_stages(path: Path, tmp_path: Path) -> None:
    """In the model of the selftest those that it can have, and the others in a model that can."""
    mistakes = [fault for fault in CATALOGUE if fault.row is not None]
    planted, wrong = problems(path, mistakes)
    assert planted >= 140
    rest = [fault for fault in mistakes if not can_be_planted(fault, OracleEngine(), open_model(path))]
    other = tmp_path / "other.gguf"
    spec = ModelSpec(
        arch="llama", n_layer=2, n_ff=512, n_vocab=320, n_head_kv=4, rope_base=500000.0, tied=False
    )
    make_model(other, spec)
    also, wrong_there = problems(other, rest)
    assert also >= 4
    assert wrong + wrong_there == []


@pytest.fixture(scope="module")
def native() -> Engine:
    engine = get_engine("native")
    if not engine.availability().found:
        pytest.skip("native is not built")
    return engine


@pytest.mark.parametrize("fault", [f for f in CATALOGUE if f.alter or f.switches], ids=lambda f: f.name)
def test_fault_planted_in_native_is_found(path: Path, fault: Fault, native: Engine) -> None:
    finding = find(fault, native, path, TOKENS)
    assert finding.is_found, f"{finding.problem}: {finding.report.sentence}"


@pytest.mark.parametrize("fault", [f for f in CATALOGUE if f.switches], ids=lambda f: f.name)
def test_fault_of_the_engine_itself_is_found_with_every_kernel_set(
    path: Path, fault: Fault, native: Engine
) -> None:
    """Another model is another input to all kernel sets alike; a switch goes through their own code."""
    for name, engine in with_every_kernel_set(native).items():
        finding = find(fault, engine, path, TOKENS)
        assert finding.is_found, f"{name}: {finding.problem}: {finding.report.sentence}"
        assert name == f"native/{finding.kernels}"


def test_selftest_plants_in_every_kernel_set_or_in_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch, native: Engine
) -> None:
    monkeypatch.setattr("bitparity.faults.selftest.CATALOGUE", (FAULT["epsilon"],))
    every = CliRunner().invoke(command, ["--engine", "native"])
    for name in with_every_kernel_set(native):
        assert f"native, kernels {name.partition('/')[2]}" in every.output
    one = CliRunner().invoke(command, ["--engine", "native", "--kernels", "portable"])
    assert "1 of 1 planted faults" in one.output, one.output
    assert "native, kernels portable" in one.output


def test_selftest_without_an_engine_that_has_kernel_sets_refuses_the_option() -> None:
    done = CliRunner().invoke(command, ["--engine", "oracle", "--kernels", "avx2"])
    assert isinstance(done.exception, BadInput)
    assert str(done.exception) == "no engine here (oracle) has kernel sets; leave out --kernels avx2"


def test_fault_that_changes_nothing_is_not_found(path: Path) -> None:
    finding = find(replace(FAULT["epsilon"], alter=lambda model: model), OracleEngine(), path, TOKENS)
    assert finding.problem == "no stage was found guilty"
    assert finding.report.exit_code == 0


def test_fault_found_elsewhere_or_in_other_words_is_a_problem(path: Path) -> None:
    elsewhere = find(replace(FAULT["epsilon"], layer=1), OracleEngine(), path, TOKENS)
    assert elsewhere.problem.startswith("found at (layer, stage, position) (0, 'attn_norm', 0)")
    other_words = find(replace(FAULT["epsilon"], says="a goat"), OracleEngine(), path, TOKENS)
    assert other_words.problem == "blame does not say 'a goat'"


def test_engine_that_cannot_be_made_faulty_is_refused() -> None:
    with pytest.raises(BadInput, match=r"faults cannot be planted in llama\.cpp"):
        plant(FAULT["epsilon"], get_engine("llama.cpp"))


@pytest.mark.parametrize(("harmless", "exit_code"), [(False, 0), (True, 1)])
def test_selftest_exits_with_1_when_a_fault_is_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harmless: bool, exit_code: int
) -> None:
    fault = FAULT["norm weight left out"]
    planted = replace(fault, alter=lambda model: model) if harmless else fault
    monkeypatch.setattr("bitparity.faults.selftest.CATALOGUE", (planted,))
    done = CliRunner().invoke(command, ["--engine", "oracle", "--json", str(tmp_path / "findings.json")])
    assert done.exit_code == exit_code, done.output
    assert f"{1 - exit_code} of 1 planted faults were found" in done.output
    assert (tmp_path / "findings.json").exists()
