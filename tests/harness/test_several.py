"""More than two engines compared: every two of them, all of their stages, and what a failure leaves out."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bitparity import cli
from bitparity.choose import choose_models
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.compare.several import SeveralResult, compare_several
from bitparity.engine import Engine, Fingerprint
from bitparity.errors import EngineFailed
from bitparity.model import open_model
from bitparity.noise.verdict import Verdict
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import BITNET_CPP, LLAMA_CPP, PLAIN, Arithmetic
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.engine import OracleEngine, OracleSession
from bitparity.report.several import print_several
from bitparity.settings import read_settings
from checkpoint_files import write_checkpoint

MakePath = Callable[..., Path]
TOKENS = tuple((37 * i + 11) % 320 for i in range(6))


class SiluForRelu2(Definition):
    """Computes SiLU whatever the model has."""

    def gate(self, stage: Any, place: Place, gate: ops.Doubles, up: ops.Doubles) -> ops.Doubles:
        return ops.silu(gate) * up


class Named(OracleEngine):
    """The oracle under a name, in an arithmetic that it states.

    fails  at its second prefill
    """

    def __init__(
        self, name: str, arithmetic: Arithmetic, make: Any = Definition.of, *, fails: bool = False
    ) -> None:
        super().__init__(arithmetic, make)
        self.name, self._fails = name, fails

    def open(self, *arguments: Any, **options: Any) -> OracleSession:
        session = super().open(*arguments, **options)
        session._info = replace(session.info, fingerprint=replace(session.info.fingerprint, engine=self.name))
        if self._fails:
            return _Failing(session)  # type: ignore[return-value]
        return session


class _Failing:
    def __init__(self, session: OracleSession) -> None:
        self._session, self._prefills = session, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def prefill(self, *arguments: Any, **options: Any) -> Any:
        self._prefills += 1
        if self._prefills > 1:
            raise EngineFailed("third", "aborted (SIGABRT)")
        return self._session.prefill(*arguments, **options)


class Follower(Named):
    """Takes on llama.cpp's arithmetic, and no other."""

    def following(self, reference: Fingerprint) -> Engine:
        stated = reference.details["arithmetic"]
        return Named(self.name, LLAMA_CPP) if stated.startswith("llama.cpp") else self


def several(path: Path, engines: Sequence[Engine], **options: Any) -> SeveralResult:
    model = open_model(path)
    first, *others, last = (Side(engine, model) for engine in engines)
    asked = Comparison(first, last, [Prompt(tokens=TOKENS)], read_settings({}), command="repeat me")
    return compare_several(asked, others, **options)


def printed(result: SeveralResult, width: int = 80) -> str:
    out = io.StringIO()
    print_several(result, Console(file=out, width=width))
    return out.getvalue()


def pairs_of(result: SeveralResult) -> dict[tuple[str, str], Verdict]:
    return {(str(p.candidate["engine"]), str(p.reference["engine"])): p.verdict for p in result.pairs}


def test_every_two_engines_are_compared_and_each_is_judged_once(path_of: MakePath) -> None:
    engines = [Named("first", PLAIN), Named("second", BITNET_CPP), Named("third", BITNET_CPP)]
    result = several(path_of(arch="bitnet-b1.58"), engines, blame=True)
    assert result.engines == ["first", "second", "third"]
    assert pairs_of(result) == {
        ("second", "first"): Verdict.EXPLAINED,
        ("third", "first"): Verdict.EXPLAINED,
        ("third", "second"): Verdict.AGREE,
    }
    assert (result.verdict, result.exit_code) == (Verdict.EXPLAINED, 0)
    assert [blame.engine for blame in result.blames] == ["first", "second", "third"]
    assert not any(blame.causes for blame in result.blames)
    said = printed(result)
    assert max(map(len, said.splitlines())) <= 80
    for words in ("from first", "explained", "      0 agree", "no stage of third is wrong", "repeat me"):
        assert words in said


def test_the_engine_that_is_wrong_is_named_among_all(path_of: MakePath) -> None:
    engines = [Named("first", PLAIN), Named("second", PLAIN, SiluForRelu2.of), Named("third", PLAIN)]
    result = several(path_of(arch="bitnet-b1.58"), engines, blame=True)
    found = pairs_of(result)
    assert found["third", "first"] is Verdict.AGREE
    assert found["second", "first"] is found["third", "second"] is Verdict.DIVERGED
    assert (result.verdict, result.exit_code) == (Verdict.DIVERGED, 1)
    assert [bool(blame.causes) for blame in result.blames] == [False, True, False]
    assert "second is wrong: layer 0, ffn_act, from position 0: it computes SiLU" in printed(result)


def test_a_stage_that_is_wrong_is_a_divergence_of_its_pairs_only(path_of: MakePath) -> None:
    class Nudged(Definition):
        def norm(self, stage: Any, place: Place, x: ops.Doubles) -> ops.Doubles:
            out = super().norm(stage, place, x)
            return out * (1 + 1e-5) if stage.name == "final_norm" else out

    engines = [Named("first", PLAIN), Named("second", PLAIN, Nudged.of), Named("third", PLAIN)]
    result = several(path_of(arch="bitnet"), engines, blame=True, limit=1e-3)
    assert [pair.verdict for pair in result.pairs] == [Verdict.DIVERGED, Verdict.AGREE, Verdict.DIVERGED]


def test_an_engine_that_failed_is_left_out_of_what_is_still_to_be_compared(path_of: MakePath) -> None:
    engines = [Named("third", PLAIN, fails=True), Named("second", PLAIN), Named("first", PLAIN)]
    result = several(path_of(arch="bitnet"), engines, blame=True)
    assert [pair.verdict for pair in result.pairs] == [Verdict.AGREE, Verdict.ENGINE_FAILED, Verdict.AGREE]
    assert result.exit_code == 5
    assert result.blames == ()
    assert "stages were not judged, because an engine had failed" in printed(result)
    four = [Named("zero", PLAIN), Named("third", PLAIN, fails=True), Named("x", PLAIN), Named("y", PLAIN)]
    result = several(path_of(arch="bitnet"), four)
    assert result.left_out == ("y and third were not compared, because third had failed",)


def test_the_candidate_takes_on_the_first_arithmetic_that_it_can(path_of: MakePath) -> None:
    engines = [Named("first", PLAIN), Named("second", LLAMA_CPP), Follower("third", BITNET_CPP)]
    result = several(path_of(arch="bitnet"), engines)
    assert result.fingerprints["third"]["details"]["arithmetic"] == LLAMA_CPP.name
    assert pairs_of(result)["third", "second"] is Verdict.AGREE


def test_many_engines_lose_the_words_of_verdicts_before_the_numbers(path_of: MakePath) -> None:
    engines = [Named(name, PLAIN) for name in ("first", "second", "third", "fourth")]
    said = printed(several(path_of(arch="bitnet"), engines))
    assert max(map(len, said.splitlines())) <= 80
    assert said.count("from first") == 3
    assert "0 agree\n" not in said
    assert said.count("AGREE") == 6


def test_command_takes_more_engines_and_writes_all_pairs(
    path_of: MakePath,
    tmp_path: Path,
    announce: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def typed(*words: str) -> int | str | None:
        monkeypatch.setattr(sys, "argv", ["bitparity", "compare", str(path_of(arch="bitnet")), *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code

    announce(Named("other", PLAIN))
    file = tmp_path / "several.json"
    words = ["--reference", "oracle", "--candidate", "oracle", "--also", "other", "--tokens", "1,2,3"]
    assert typed(*words, "--json", str(file)) == 0
    said = capsys.readouterr().out
    assert "EXPLAINED" in said
    assert "--also other" in said
    written = json.loads(file.read_text())
    assert len(written["pairs"]) == 3
    assert written["verdict"] == "explained"
    assert typed(*words, "--html", str(tmp_path / "page.html")) == 2
    assert "--corpus and --html are for two engines" in capsys.readouterr().err


def test_an_engine_that_is_made_for_checkpoints_opens_the_folder_itself(
    path_of: MakePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class MadeForCheckpoints(Named):
        is_made_for_checkpoints = True

    class NeedsFile(Named):
        reads_checkpoints = False

    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path / "cache"))
    folder = write_checkpoint(tmp_path / "checkpoint", path_of(arch="bitnet"))
    made, needs, any_ = MadeForCheckpoints("a", PLAIN), NeedsFile("b", PLAIN), Named("c", PLAIN)
    assert choose_models(str(folder), [made, any_]) == [folder, folder]
    first, second, third = choose_models(str(folder), [made, any_, needs])
    assert first == folder
    assert second == third != folder
    np.testing.assert_array_equal(
        open_model(second).weights.layers[0]["q"].values(), open_model(folder).weights.layers[0]["q"].values()
    )


def test_another_format_with_the_same_activations_is_no_difference(path_of: MakePath, tmp_path: Path) -> None:
    path = path_of(arch="bitnet", weight_format="I2_S")
    checkpoint = open_model(write_checkpoint(tmp_path / "checkpoint", path))
    sides = Side(Named("a", PLAIN), checkpoint), Side(Named("b", BITNET_CPP), open_model(path))
    result = compare_engines(Comparison(*sides, [Prompt(tokens=TOKENS)], read_settings({})))
    assert result.explanation is not None
    assert result.explanation["holds"]
    assert not [clause for clause in result.explanation["differ"] if "activations" in clause]
