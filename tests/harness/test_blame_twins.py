"""Blame of an engine that ran the same weights in another format: it is judged by the file that it ran."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity.blame.bisect import blame_sessions
from bitparity.blame.engines import BlameReport
from bitparity.cli import main
from bitparity.compare.chunking import Chunking
from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.model.types import Tensor
from bitparity.model.verify import verify_weights
from bitparity.oracle.engine import OracleEngine
from harness.blame_cases import (
    TOKENS,
    MakePath,
    blame_command,
    write_trace,
)
from rewrite import rewrite


@pytest.fixture(scope="module")
def twins(path_of: MakePath, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same weights in two formats that round activations differently."""
    meant = path_of(arch="bitnet-b1.58", weight_format="TQ1_0")
    twin = tmp_path_factory.mktemp("twin") / "i2_s.gguf"
    convert(meant, twin, "I2_S")
    return meant, twin


def blame_twins(meant: Path, file: Path) -> BlameReport:
    """Judge an engine that ran another file beside one that ran the file that was meant."""
    model, other = open_model(meant), open_model(file)
    expected, actual = (OracleEngine().open(path, context=len(TOKENS), threads=1) for path in (file, meant))
    return blame_sessions(model, expected, actual, TOKENS, Chunking("mixed"), files=(other, model))


def test_engine_that_ran_a_twin_is_judged_by_the_format_of_that(twins: tuple[Path, Path]) -> None:
    for meant, file in (twins, twins[::-1]):
        report = blame_twins(meant, file)
        assert not report.is_guilty, report.sentence
        assert not report.expected.not_judged
        assert len(report.expected.stages) == len(report.actual.stages) == 3 + 2 * 18


def test_weight_that_a_twin_does_not_share_is_found_in_its_format(
    twins: tuple[Path, Path], tmp_path: Path
) -> None:
    meant, twin = twins
    changed = tmp_path / "changed.gguf"
    content = bytearray(twin.read_bytes())
    up, norm = open_model(twin).weights.layers[1]["up"], open_model(twin).weights.layers[1]["ffn_norm"]
    scale = up.data[-32:].view("<f4")[:1] * np.float32(1.25)
    content[up.offset + up.data.size - 32 : up.offset + up.data.size - 28] = scale.tobytes()
    changed.write_bytes(bytes(content))
    report = blame_twins(meant, changed)
    assert [(s.layer, s.stage) for s in report.expected.guilty_stages()] == [(1, "ffn_up")]
    assert "it gives 1.25 times what is defined" in report.sentence
    assert report.actual.cause is None
    content = bytearray(twin.read_bytes())
    content[norm.offset : norm.offset + 4] = (norm.values()[:1] * 2).tobytes()
    changed.write_bytes(bytes(content))
    assert [(s.layer, s.stage) for s in blame_twins(meant, changed).expected.guilty_stages()] == [
        (1, "ffn_norm")
    ]


def test_stored_traces_of_twins_are_judged_each_by_its_file(twins: tuple[Path, Path], tmp_path: Path) -> None:
    traces = [write_trace(tmp_path, path, OracleEngine(), path.stem) for path in twins]
    done = blame_command(*traces)
    assert done.returncode == 0, done.stdout
    assert "no stage of oracle or oracle is wrong" in done.stdout
    assert blame_command(*traces, "--model", twins[1]).returncode == 0


def test_compare_with_a_twin_blames_nobody(twins: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--reference", "oracle", "--candidate", "oracle", "--tokens", "5,6,7", "--limit", "1", "--blame"]
    meant, twin = map(str, twins)
    monkeypatch.setattr(sys, "argv", ["bitparity", "compare", meant, "--reference-model", twin, *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0


def test_scale_a_float32_step_off_is_said_to_be_that(twins: tuple[Path, Path], tmp_path: Path) -> None:
    twin = twins[1]

    def nudge(data: NDArray[np.uint8], tensor: Tensor) -> None:
        scale = data[-32:].view("<f4")
        for _ in range(2):  # one hides among the roundings that an engine of float64 does not do
            scale[0] = np.nextafter(scale[0], np.float32(np.inf))

    names = [f"blk.{layer}.{name}.weight" for layer in range(2) for name in ("attn_q", "ffn_up", "ffn_down")]
    changed = rewrite(twin, tmp_path / "changed.gguf", changes=dict.fromkeys(names, nudge))
    report = blame_twins(twin, changed)
    assert [cause.words for cause in report.expected.causes] == [
        "has a weight scale that is a step or two of float32 off"
    ]
    assert report.expected.causes[0].is_rounding
    assert report.actual.cause is None
    found = verify_weights(open_model(twin), open_model(changed)).differences
    assert {each.tensor for each in found} == set(names)
    assert "their ratio is 1 + " in found[0].message
    assert found[0].effect.endswith(" times as large as they should be, which is no more than rounding")
