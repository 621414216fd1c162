"""verify-weights, quantize and inspect on TL1 and TL2, whose tiles a kernel configuration tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bitparity.cli import inspect, quantize
from bitparity.cli.verify_weights import command
from bitparity.errors import BadInput
from bitparity.formats.table_lookup import Tiling, Tilings, read_kernel_config
from bitparity.model import open_model
from bitparity.model.bundled import bundled_model
from bitparity.model.convert import convert
from bitparity.model.rope_order import rope_pairs_to_halves
from bitparity.model.types import Model
from bitparity.model.verify import verify_weights
from harness.tilings import TILINGS
from harness.verify_cases import FORMATS, recoded


def _config(tilings: Tilings) -> str:
    return "\n".join(
        f"[Kernels_{i}]\nm = {rows}\nk = {cols}\nbm = {t.rows}\nbk = {t.cols}\nbmm = {t.step}\n"
        for i, ((rows, cols), t) in enumerate(tilings.items())
    )


@pytest.fixture(scope="module", params=["TL1", "TL2"])
def tiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The bundled model in TL1 and TL2."""
    path = tmp_path_factory.mktemp("tiled") / "model.gguf"
    tilings = TILINGS[request.param]
    convert(bundled_model(weight_format="I2_S"), path, request.param, tilings=tilings)
    return open_model(path, tilings=tilings)


@pytest.mark.parametrize("other", FORMATS)
def test_trained_model_in_table_lookup_formats_is_the_same(tiled: Model, other: str) -> None:
    found = verify_weights(open_model(bundled_model(weight_format=other)), tiled)
    assert found.is_same, found.differences[:1]
    assert found.weights > 1_000_000


@pytest.mark.parametrize("col", [3, 191, 192, 255])  # in triples and in pairs of TL2
def test_code_of_a_table_lookup_tensor_is_found(tiled: Model, col: int) -> None:
    def change(codes: np.ndarray) -> np.ndarray:
        codes[37, col] = 1 if codes[37, col] != 1 else 0
        return codes

    changed = recoded(tiled, "blk.3.ffn_up.weight", change)
    (found,) = verify_weights(open_model(bundled_model(weight_format="I2_S")), changed).differences
    assert (found.tensor, found.kind, found.row, found.col) == ("blk.3.ffn_up.weight", "codes", 37, col)


def test_scale_of_a_table_lookup_tensor_is_found_and_its_inversion_named(tiled: Model) -> None:
    name = "blk.0.attn_q.weight"
    scale = tiled.tensors[name].data[-32:-28].view("<f4")[0]
    expected = open_model(bundled_model(weight_format="I2_S"))
    (near,) = verify_weights(
        expected, recoded(tiled, name, lambda c: c, float(np.nextafter(scale, np.float32(1))))
    ).differences
    (inverted,) = verify_weights(
        expected, recoded(tiled, name, lambda c: c, float(np.float32(1) / scale))
    ).differences
    assert (near.kind, inverted.kind) == ("scale", "inverted scale")


def test_rope_permutation_of_a_table_lookup_tensor_is_named(tiled: Model) -> None:
    heads = tiled.hyper.n_head
    permuted = recoded(tiled, "blk.0.attn_q.weight", lambda c: rope_pairs_to_halves(c, heads))
    (found,) = verify_weights(open_model(bundled_model(weight_format="I2_S")), permuted).differences
    assert found.kind == "rows are permuted for RoPE in the second file (pairs to halves)"


def test_table_lookup_file_read_with_other_tiles_differs(tiled: Model) -> None:
    name = tiled.tensors["blk.0.ffn_up.weight"].format
    other = TILINGS[name] | {(768, 256): Tiling(128, 64 if name == "TL1" else 192, 32)}
    found = verify_weights(
        open_model(bundled_model(weight_format="I2_S")), open_model(tiled.path, tilings=other)
    )
    assert {d.tensor.split(".", 2)[2] for d in found.differences} == {"ffn_gate.weight", "ffn_up.weight"}


def test_command_reads_the_kernel_configuration(tiled: Model, tmp_path: Path) -> None:
    name = tiled.tensors["blk.0.ffn_up.weight"].format
    config = tmp_path / "kernel_config.ini"
    config.write_text(_config(TILINGS[name]))
    i2_s = str(bundled_model(weight_format="I2_S"))
    same = CliRunner().invoke(command, [i2_s, str(tiled.path), "--kernel-config", str(config)])
    assert (same.exit_code, same.output.startswith("the same: ")) == (0, True)
    presets = CliRunner().invoke(command, [i2_s, str(tiled.path)])
    assert "no kernel is generated for a weight of" in str(presets.exception)


def test_quantize_writes_and_inspect_reads_with_a_kernel_configuration(tmp_path: Path) -> None:
    config, target = tmp_path / "kernel_config.ini", tmp_path / "tl1.gguf"
    config.write_text(_config(TILINGS["TL1"]))
    source = str(bundled_model(weight_format="I2_S"))
    arguments = [source, str(target), "--to", "TL1", "--kernel-config", str(config)]
    written = CliRunner().invoke(quantize.command, arguments)
    assert (written.exit_code, "42 TL1" in written.output) == (0, True)
    shown = CliRunner().invoke(inspect.command, [str(target), "--kernel-config", str(config)])
    assert (shown.exit_code, "42 TL1" in shown.output) == (0, True)
    refused = CliRunner().invoke(quantize.command, arguments[:4])
    assert "TL1: no kernel is generated for a weight of" in str(refused.exception)


@pytest.mark.parametrize(
    "text",
    ["", "[a]\nm = 1\n", "m = 1", "[a]\nm=1\nk=1\nbm=x\nbk=1\nbmm=1", "[a]\nm=1\nk=1\nbm=0\nbk=1\nbmm=1"],
)
def test_file_that_is_no_kernel_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.ini").write_text(text)
    with pytest.raises(BadInput, match=r"is no kernel configuration of bitnet\.cpp"):
        read_kernel_config(tmp_path / "config.ini")
