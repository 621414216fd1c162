"""trace-diff: what differs is found at its row, what is missing is named, and nothing compared is no pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from bitparity.engine import StageValue
from bitparity.errors import NotCompared
from bitparity.stages import STAGES
from bitparity.trace import RowKey, Trace, TraceDiff, TraceWriter, diff_traces, read_trace
from bitparity.trace.diff import RowDiff

WIDTH, N_LAYER = 16, 3
Change = Callable[[StageValue], StageValue | None]


def run(n_tokens: int, *, start: int = 0, seq: int = 0, n_layer: int = N_LAYER) -> list[StageValue]:
    """All stages of one call, each value a function of its place."""
    values = []
    for layer in range(-1, n_layer):
        for number, stage in enumerate(STAGES):
            if stage.in_block != (layer >= 0):
                continue
            rows = [np.random.default_rng([start + i, layer + 1, number]) for i in range(n_tokens)]
            if stage.name == "attn_probs":
                data = np.zeros((n_tokens, 2, start + n_tokens), np.float32)
                for i, rng in enumerate(rows):
                    data[i, :, : start + i + 1] = rng.random((2, start + i + 1), np.float32)
            else:
                data = np.stack([rng.standard_normal(WIDTH, np.float32) for rng in rows])
            values.append(StageValue(layer, stage.name, start, seq, data))
    return values


def prefill(n: int) -> list[StageValue]:
    return run(n)


def decode(n: int) -> list[StageValue]:
    return [value for i in range(n) for value in run(1, start=i, seq=i + 1)]


def write(
    folder: Path, values: list[StageValue], change: Change | None = None, *, keep: bool = True
) -> Trace:
    with TraceWriter(folder, "native", keep_values=keep) as writer:
        for value in values:
            changed = change(value) if change else value
            if changed is not None:
                writer(changed)
    return read_trace(writer.path)


def first_divergence(diff: TraceDiff) -> RowDiff:
    assert diff.first_divergence is not None
    return diff.first_divergence


def flip_bit(layer: int, stage: str, position: int) -> Change:
    """Flip the lowest bit of the first element of one row."""

    def change(value: StageValue) -> StageValue:
        if (value.layer, value.stage) != (layer, stage) or not 0 <= position - value.position < len(
            value.values
        ):
            return value
        values = value.values.copy()
        values[position - value.position].reshape(-1).view(np.uint32)[0] ^= 1
        return replace(value, values=values)

    return change


@pytest.mark.parametrize("keep", [True, False], ids=["values", "hashes"])
@pytest.mark.parametrize("chunks", [prefill, decode])
def test_equal_traces_are_equal_whatever_the_chunking(
    tmp_path: Path, chunks: Callable[[int], list[StageValue]], keep: bool
) -> None:
    diff = diff_traces(write(tmp_path, prefill(8)), write(tmp_path, chunks(8), keep=keep))
    assert diff.is_equal
    assert diff.exit_code == 0
    in_block = sum(stage.in_block for stage in STAGES)
    assert diff.compared == 8 * (len(STAGES) - in_block + in_block * N_LAYER)
    assert {s.stage for s in diff.stages} == {s.name for s in STAGES}


@pytest.mark.parametrize("keep", [True, False], ids=["values", "hashes"])
@pytest.mark.parametrize("chunks", [prefill, decode])
@pytest.mark.parametrize(
    ("layer", "stage", "position"),
    [(1, "ffn_act", 5), (0, "attn_probs", 3), (-1, "logits", 7), (-1, "embeddings", 0)],
)
def test_flipped_bit_is_found_at_its_row(
    tmp_path: Path,
    chunks: Callable[[int], list[StageValue]],
    keep: bool,
    layer: int,
    stage: str,
    position: int,
) -> None:
    expected = write(tmp_path, prefill(8))
    diff = diff_traces(expected, write(tmp_path, chunks(8), flip_bit(layer, stage, position), keep=keep))
    assert [(d.key, d.kind) for d in diff.unequal] == [(RowKey(position, layer, stage), "differs")]
    assert diff.exit_code == 1
    if keep:
        assert 0 < (diff.unequal[0].relative_l2 or 0) < 1e-6


def test_first_divergence_is_the_first_in_graph_order(tmp_path: Path) -> None:
    late, early = flip_bit(2, "attn_norm", 0), flip_bit(1, "layer_out", 3)
    both = [early(value) for value in prefill(4)]
    actual = write(tmp_path, [value for value in both if value is not None], late)
    diff = diff_traces(write(tmp_path, prefill(4)), actual)
    assert first_divergence(diff).key == RowKey(3, 1, "layer_out")


def test_difference_is_measured_on_values(tmp_path: Path) -> None:
    def scale(value: StageValue) -> StageValue:
        return replace(value, values=value.values * np.float32(1.5)) if value.stage == "ffn_out" else value

    actual = write(tmp_path, decode(3), scale)
    diff = diff_traces(write(tmp_path, prefill(3)), actual)
    summary = next(s for s in diff.stages if s.stage == "ffn_out")
    assert (summary.rows, summary.differing) == (3 * N_LAYER, 3 * N_LAYER)
    assert summary.worst is not None
    assert summary.worst.relative_l2 == pytest.approx(0.5)
    assert summary.first == RowKey(0, 0, "ffn_out")


def test_difference_without_values_is_measured_on_the_rms(tmp_path: Path) -> None:
    def scale(value: StageValue) -> StageValue:
        return replace(value, values=value.values * np.float32(1.5)) if value.stage == "ffn_out" else value

    diff = diff_traces(write(tmp_path, prefill(3)), write(tmp_path, prefill(3), scale, keep=False))
    worst = next(s for s in diff.stages if s.stage == "ffn_out").worst
    assert worst is not None
    assert worst.relative_l2 is None
    assert worst.size == pytest.approx(0.5, rel=1e-5)  # the RMS is a float32 sum of 16 squares


def test_nan_on_one_side_differs_without_bound(tmp_path: Path) -> None:
    def poison(value: StageValue) -> StageValue:
        return replace(value, values=value.values * np.float32(np.nan)) if value.stage == "ffn_out" else value

    diff = diff_traces(write(tmp_path, prefill(2)), write(tmp_path, prefill(2), poison))
    assert first_divergence(diff).relative_l2 == np.inf
    assert json.loads(json.dumps(diff.as_dict(), allow_nan=False))["unequal"][0]["relative_l2"] is None


def test_missing_record_is_not_an_absent_stage(tmp_path: Path) -> None:
    expected = write(tmp_path, prefill(2))

    def without(value: StageValue) -> StageValue | None:
        return (
            None if value.stage == "attn_sub_norm" or (value.layer, value.stage) == (1, "ffn_up") else value
        )

    actual = write(tmp_path, prefill(2), without)
    diff = diff_traces(expected, actual)
    assert diff.only_expected == ("attn_sub_norm",)
    assert [(d.key.position, d.key.layer, d.key.stage, d.kind) for d in diff.unequal] == [
        (0, 1, "ffn_up", "missing"),
        (1, 1, "ffn_up", "missing"),
    ]
    assert diff.exit_code == 1
    assert [d.kind for d in diff_traces(actual, expected).unequal] == ["extra", "extra"]


def test_stage_absent_in_one_engine_leaves_the_others_equal(tmp_path: Path) -> None:
    actual = write(tmp_path, prefill(2), lambda v: None if v.stage == "attn_sub_norm" else v)
    diff = diff_traces(write(tmp_path, prefill(2)), actual)
    assert diff.exit_code == 0
    assert diff.only_expected == ("attn_sub_norm",)


def test_position_computed_twice_is_compared_in_order(tmp_path: Path) -> None:
    twice = [*run(3), *run(1, start=2, seq=1)]
    expected = write(tmp_path, twice)
    second = flip_bit(0, "q_proj", 2)
    actual = write(tmp_path, twice, lambda value: second(value) if value.seq == 1 else value)
    diff = diff_traces(expected, actual)
    assert [d.key for d in diff.unequal] == [RowKey(2, 0, "q_proj", occurrence=1)]


def test_wrong_shape_is_reported_as_such(tmp_path: Path) -> None:
    def cut(value: StageValue) -> StageValue:
        return replace(value, values=value.values[:, :8]) if value.stage == "logits" else value

    diff = diff_traces(write(tmp_path, prefill(2)), write(tmp_path, prefill(2), cut))
    assert {d.kind for d in diff.unequal} == {"shape"}
    assert diff.exit_code == 1


@pytest.mark.parametrize("keep", [True, False], ids=["values", "hashes"])
@pytest.mark.parametrize("shapes", [((4,), (2, 2)), ((4, 1), (1, 4))], ids=str)
def test_same_elements_in_another_shape_have_no_distance(
    tmp_path: Path, shapes: tuple[tuple[int, ...], ...], keep: bool
) -> None:
    """Neither equal where the bytes are, nor as far apart as broadcasting makes them."""
    ones = np.ones(4, np.float32)
    for factor in (1, 2):
        expected, actual = (
            write(tmp_path, [StageValue(0, "ffn_out", 0, 0, (ones * times).reshape(1, *shape))], keep=keep)
            for shape, times in zip(shapes, (1, factor), strict=True)
        )
        (row,) = diff_traces(expected, actual).unequal
        assert (row.kind, row.relative_l2, row.max_abs) == ("shape", None, None)


def test_traces_with_nothing_in_common_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(NotCompared, match="no stage of any position in common"):
        diff_traces(write(tmp_path, run(2)), write(tmp_path, run(2, start=2)))


def cut_last_record(trace: Trace) -> Trace:
    file = trace.path / "trace.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    return read_trace(trace.path)


def test_cut_off_trace_is_named_and_differs(tmp_path: Path) -> None:
    whole = write(tmp_path, prefill(2))
    diff = diff_traces(whole, cut_last_record(write(tmp_path, prefill(2))))
    assert "is cut off" in diff.damage[0]
    assert {d.kind for d in diff.unequal} == {"missing"}
    assert diff.exit_code == 1


def test_two_traces_cut_off_alike_are_not_equal(tmp_path: Path) -> None:
    diff = diff_traces(*(cut_last_record(write(tmp_path, prefill(2))) for _ in range(2)))
    assert not diff.unequal
    assert not diff.is_equal
    assert diff.exit_code == 4


def bitnet_rs_file(folder: Path, name: str, values: np.ndarray, **fields: object) -> None:
    data = {
        "name": name,
        "shape": [1, *values.shape],
        "dtype": "F32",
        "blake3": blake3(values.tobytes()).hexdigest(),
        "rms": float(np.sqrt(np.mean(values.astype(np.float64) ** 2))),
        "num_elements": values.size,
        **fields,
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{name.replace('/', '_')}.trace").write_text(json.dumps(data, indent=2))


def diff_with_bitnet_rs(tmp_path: Path, factor: float, *, keep: bool = True) -> TraceDiff:
    """A BitNet.rs trace of one whole prefill, without seq, layer and stage."""
    values = prefill(4)
    for value in values:
        if value.layer == 1 and value.stage in ("q_proj", "attn_norm"):
            bitnet_rs_file(tmp_path / "rs", f"t0/blk1/{value.stage}", value.values * np.float32(factor))
    return diff_traces(read_trace(tmp_path / "rs"), write(tmp_path / "ours", prefill(4), keep=keep))


def test_bitnet_rs_prefill_compares_as_a_whole(tmp_path: Path) -> None:
    diff = diff_with_bitnet_rs(tmp_path, 1)
    assert diff.compared == 2
    assert not [d for d in diff.unequal if d.kind == "differs"]
    assert not [d for d in diff.unequal if (d.key.layer, d.key.stage) == (1, "q_proj")]


def test_bitnet_rs_axes_of_length_one_are_no_other_shape(tmp_path: Path) -> None:
    """It has an axis for the batch, and one for the queries that a decode step has one of."""
    probs = next(value for value in decode(4) if (value.stage, value.position) == ("attn_probs", 3)).values
    bitnet_rs_file(tmp_path / "rs", "t3/blk0/attn_scores_softmax", probs.reshape(2, 1, 4))
    ours = write(tmp_path / "ours", [v for v in decode(4) if v.stage == "attn_probs" and v.layer == 0])
    diff = diff_traces(read_trace(tmp_path / "rs"), ours)
    assert diff.compared == 1
    assert {d.kind for d in diff.unequal} == {"extra"}


def test_bitnet_rs_transposed_matrix_is_another_shape(tmp_path: Path) -> None:
    values = np.stack([value.values[0] for value in decode(3) if (value.stage, value.layer) == ("q_proj", 0)])
    bitnet_rs_file(tmp_path / "rs", "t0/blk0/q_proj", values.reshape(WIDTH, 3))
    ours = write(tmp_path / "ours", [v for v in prefill(3) if (v.stage, v.layer) == ("q_proj", 0)])
    (row,) = diff_traces(read_trace(tmp_path / "rs"), ours).unequal
    assert row.kind == "shape"


def test_bitnet_rs_prefill_that_differs_is_measured_on_the_rms(tmp_path: Path) -> None:
    first = first_divergence(diff_with_bitnet_rs(tmp_path, 2))
    assert (first.key.layer, first.key.stage) == (1, "attn_norm")
    assert first.size == pytest.approx(0.5, rel=1e-5)


def test_bitnet_rs_prefill_is_never_equal_to_positions_without_values(tmp_path: Path) -> None:
    diff = diff_with_bitnet_rs(tmp_path, 1, keep=False)
    assert {d.kind for d in diff.unequal if d.key.layer == 1} == {"shape"}
    assert first_divergence(diff).size == pytest.approx(0, abs=1e-6)
    assert diff.exit_code == 1
