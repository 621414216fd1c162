"""Blame on real engines: never guilty when sound, and named when they got another model than was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitparity.blame.bisect import blame_sessions
from bitparity.compare.chunking import Chunking
from bitparity.formats import get_format, is_ternary
from bitparity.model import open_model
from bitparity.model.convert import convert
from bitparity.oracle.engine import OracleEngine
from bitparity_reference.bitnet_cpp import BitnetCppEngine
from bitparity_reference.llama_engine import LlamaEngine

TOKENS = [(37 * i + 11) % 512 for i in range(24)]
CASES = [
    ("bitnet", "I2_S", "F16"),
    ("bitnet-b1.58", "I2_S", "F16"),
    ("bitnet", "TQ1_0", "F16"),
    ("bitnet", "TQ2_0", "F32"),
    ("bitnet", "F16", "F16"),
    ("llama", "F32", "F32"),
]


@pytest.mark.parametrize(("arch", "weight_format", "head_format"), CASES)
@pytest.mark.parametrize("chunks", ["prefill", "decode", "mixed"])
def test_sound_reference_is_judged_at_every_stage_and_guilty_at_none(
    engine: LlamaEngine,
    model_file: Callable[..., Path],
    arch: str,
    weight_format: str,
    head_format: str,
    chunks: str,
) -> None:
    refused = engine.refusal(arch, {weight_format, head_format})
    if refused:
        pytest.skip(refused)
    path = model_file(arch=arch, weight_format=weight_format, head_format=head_format)
    expected = engine.open(path, context=64, threads=1)
    try:
        report = blame_sessions(
            open_model(path),
            expected,
            OracleEngine().open(path, context=64, threads=1),
            TOKENS,
            Chunking(chunks),
        )
    finally:
        expected.close()
    assert not report.is_guilty, report.sentence
    assert not report.expected.absent
    assert not report.expected.not_judged


def test_model_changed_for_the_reference_alone_is_blamed_on_the_reference(
    engine: LlamaEngine, model_file: Callable[..., Path], tmp_path: Path
) -> None:
    weight_format = "TQ2_0" if engine.refusal("bitnet", {"I2_S"}) else "I2_S"
    meant = model_file(arch="bitnet", weight_format=weight_format)
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(_with_scaled_weight(meant))
    expected = engine.open(changed, context=64, threads=1)
    try:
        oracle = OracleEngine().open(meant, context=64, threads=1)
        report = blame_sessions(open_model(meant), expected, oracle, TOKENS)
    finally:
        expected.close()
    assert report.exit_code == 1
    assert report.actual.cause is None
    assert report.sentence.startswith(
        f"{engine.name} is wrong: layer 1, ffn_up, from position 0: it gives 1.25"
    )


def test_reference_that_ran_a_twin_in_another_format_is_not_blamed(
    engine: LlamaEngine, model_file: Callable[..., Path], tmp_path: Path
) -> None:
    twin_format = "F16" if engine.refusal("bitnet", {"I2_S"}) else "I2_S"
    meant, twin = model_file(arch="bitnet", weight_format="TQ1_0"), tmp_path / "twin.gguf"
    convert(meant, twin, twin_format)
    model, other = open_model(meant), open_model(twin)
    expected = engine.open(twin, context=64, threads=1)
    try:
        oracle = OracleEngine().open(meant, context=64, threads=1)
        report = blame_sessions(model, expected, oracle, TOKENS, Chunking("mixed"), files=(other, model))
    finally:
        expected.close()
    assert not report.is_guilty, report.sentence
    assert not report.expected.not_judged


def _with_scaled_weight(path: Path) -> bytes:
    """The file with the scale of one projection of layer 1 times 1.25."""
    tensor = open_model(path).weights.layers[1]["up"]
    form = get_format(tensor.format)
    assert is_ternary(form)
    codes, scales = form.unpack_codes(tensor.data, *tensor.shape)
    packed = form.pack_codes(codes, float(np.float32(scales.flat[0])) * 1.25)
    content = bytearray(path.read_bytes())
    content[tensor.offset : tensor.offset + len(packed)] = packed.tobytes()
    return bytes(content)


def test_dedicated_head_that_bitnet_cpp_ignores_is_blamed_on_it(
    bitnet_cpp: BitnetCppEngine, model_file: Callable[..., Path]
) -> None:
    """It loads output.weight and multiplies with the embedding all the same (UPSTREAM.md)."""
    path = model_file(arch="bitnet-b1.58", tied=False)
    expected = bitnet_cpp.open(path, context=64, threads=1)
    try:
        oracle = OracleEngine().open(path, context=64, threads=1)
        report = blame_sessions(open_model(path), expected, oracle, TOKENS)
    finally:
        expected.close()
    assert [s.stage for s in report.expected.guilty_stages()] == ["logits"]
    assert "it multiplies with the embedding where output.weight is defined" in report.sentence
    assert report.actual.cause is None
