"""The trace store: what was written is read back, whatever the chunking, and damage is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from bitparity.engine import StageValue
from bitparity.errors import BadInput, NotCompared
from bitparity.stages import StageFilter
from bitparity.trace import ALL_VALUES, MemoryTrace, TraceWriter, ValueWindow, read_trace
from bitparity.trace.record import RecordMaker, TraceRecord, position_row

N_HEAD, WIDTH = 2, 8


def stage_values(n_tokens: int, *, layers: int = 2, start: int = 0, seq: int = 0) -> list[StageValue]:
    """What one call of a small engine records: a value depends on its position, layer and stage alone."""
    values = []
    for layer in range(layers):
        rows = np.stack([_row(start + i, layer) for i in range(n_tokens)])
        probs = np.zeros((n_tokens, N_HEAD, start + n_tokens), np.float32)
        for i in range(n_tokens):
            probs[i, :, : start + i + 1] = 1 / (start + i + 1)
        values.append(StageValue(layer, "q_proj", start, seq, rows))
        values.append(StageValue(layer, "attn_probs", start, seq, probs))
    return values


def _row(position: int, layer: int) -> np.ndarray:
    return np.random.default_rng([position, layer]).standard_normal(WIDTH, np.float32)


def write(folder: Path, calls: list[list[StageValue]], **options: object) -> Path:
    with TraceWriter(folder, "native", **options) as writer:  # type: ignore[arg-type]
        for call in calls:
            for value in call:
                writer(value)
    return writer.path


def test_record_hash_and_statistics_are_those_of_the_value() -> None:
    values = np.array([[1, -2, 3], [0, 0, 4]], np.float32)
    first, second = RecordMaker("native", "native").records([StageValue(3, "ffn_out", 5, 0, values)])
    assert [first.blake3, second.blake3] == [blake3(row.tobytes()).hexdigest() for row in values]
    assert (first.name, second.name) == ("seq0/pos5/blk3/ffn_out", "seq0/pos6/blk3/ffn_out")
    assert (first.position, second.position, second.batch, second.shape) == (5, 6, 2, (3,))
    assert (first.min, first.max, first.non_finite, first.num_elements) == (-2, 3, 0, 3)
    assert [first.rms, second.rms] == pytest.approx([np.sqrt(14 / 3), np.sqrt(16 / 3)])
    assert [first.mean, second.mean] == pytest.approx([2 / 3, 4 / 3])


@given(
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.sampled_from([1, 7, 256, 257, 4100]),
    st.sampled_from([None, np.nan, np.inf, -np.inf, 3e30]),
)
def test_records_of_any_values_are_those_of_each_row_alone(
    seed: int, n: int, width: int, odd: float | None
) -> None:
    """Rows are measured together, also those of several stages; none may take part in another's numbers."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((2, n, width), np.float32)
    if odd is not None:
        rows[rng.random(rows.shape) < 0.3] = odd
    values = [StageValue(layer, "ffn_out", 9, 0, rows[layer]) for layer in range(2)]
    records = RecordMaker("e", "r").records(values)
    assert [(r.layer, r.position) for r in records] == [
        (layer, 9 + i) for layer in range(2) for i in range(n)
    ]
    for record, row in zip(records, rows.reshape(-1, width), strict=True):
        finite = row[np.isfinite(row)].astype(np.float64)
        assert record.blake3 == blake3(row.tobytes()).hexdigest()
        assert (record.num_elements, record.non_finite) == (width, width - finite.size)
        measured = (record.min, record.max, record.mean, record.rms)
        if not finite.size:
            assert measured == (None,) * 4
            continue
        size = np.abs(finite).max()  # six digits of the largest element, as record.py promises
        wanted = (finite.min(), finite.max(), finite.mean(), np.sqrt((finite**2).mean()))
        assert measured == pytest.approx(wanted, rel=1e-6, abs=1e-6 * size)


def test_engine_of_any_name_is_recorded_in_a_run_that_a_folder_can_be_named_after(tmp_path: Path) -> None:
    name = 'exec:./my "engine"\\ --fast é\n'
    with TraceWriter(tmp_path, name, keep_values=True) as writer:
        for value in stage_values(2):
            writer(value)
    assert writer.path.name == "exec-.-my-engine---fast-é"
    trace = read_trace(writer.path)
    assert {record.engine for record in trace} == {trace.engine} == {name}
    assert trace.has_value(0, "q_proj", 1)


def test_stage_of_any_name_is_recorded(tmp_path: Path) -> None:
    stage = 'my "stage"\\é\n'
    path = write(tmp_path, [[StageValue(0, stage, 0, 0, np.ones((1, 4), np.float32))]], keep_values=True)
    assert read_trace(path).value(0, stage, 0).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("n", [1, 2])
def test_record_of_non_finite_values_counts_them_and_measures_the_rest(n: int) -> None:
    values = np.tile(np.array([[np.nan, np.inf, -np.inf, 3, 1e30]], np.float32), (n, 1))
    record = RecordMaker("native", "native").records([StageValue(0, "ffn_out", 0, 0, values)])[0]
    assert (record.non_finite, record.min, record.max) == (3, 3, float(np.float32(1e30)))
    assert record.rms == pytest.approx(1e30 / np.sqrt(2))


def test_record_without_a_finite_value_has_no_statistics(tmp_path: Path) -> None:
    write(tmp_path, [[StageValue(0, "ffn_out", 0, 0, np.full((1, 4), np.nan, np.float32))]])
    record = read_trace(tmp_path).records[0]
    assert (record.rms, record.min, record.max, record.mean, record.non_finite) == (None, None, None, None, 4)


def test_record_of_a_strided_view_hashes_its_values_in_order() -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6).T[:, ::2]
    records = RecordMaker("native", "native").records([StageValue(0, "ffn_out", 0, 0, values)])
    expected = [blake3(row.tobytes()).hexdigest() for row in np.ascontiguousarray(values)]
    assert [record.blake3 for record in records] == expected


def test_prefill_digests_equal_those_of_decode_steps(tmp_path: Path) -> None:
    prefill = read_trace(write(tmp_path, [stage_values(4)]))
    decode = read_trace(write(tmp_path, [stage_values(1, start=i, seq=i + 1) for i in range(4)]))
    assert prefill.rows.keys() == decode.rows.keys()
    assert {k: row.blake3 for k, row in prefill.rows.items()} == {
        k: row.blake3 for k, row in decode.rows.items()
    }
    assert len(prefill.records) == len(decode.records) == 16
    assert {r.batch for r in prefill} == {4}
    assert {r.batch for r in decode} == {1}


def test_written_records_have_the_documented_keys(tmp_path: Path) -> None:
    line = (write(tmp_path, [stage_values(2)]) / "trace.jsonl").read_text().splitlines()[0]
    keys = {"name", "shape", "dtype", "blake3", "rms", "num_elements", "seq", "layer", "stage"}
    assert keys | {"position", "engine", "run"} <= json.loads(line).keys()


def test_records_survive_writing_and_reading(tmp_path: Path) -> None:
    values = stage_values(3)
    path = write(tmp_path, [values])
    expected = RecordMaker("native", "native").records(values)
    for record, read in zip(expected, read_trace(path), strict=True):
        assert read.name == record.name
        assert (read.blake3, read.shape, read.batch) == (record.blake3, record.shape, record.batch)
        assert np.float32(read.rms) == np.float32(record.rms)


def test_every_record_has_its_own_name_after_a_rollback(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, [stage_values(2), stage_values(2), stage_values(2, start=2)]))
    assert len({r.name for r in trace}) == len(trace) == 24
    assert {key.occurrence for key in trace.rows if key.position == 0} == {0, 1}
    assert {key.occurrence for key in trace.rows if key.position == 2} == {0}


@pytest.mark.parametrize("chunks", [[6], [2, 4], [1] * 6], ids=str)
def test_values_are_found_by_position_whatever_the_chunking(tmp_path: Path, chunks: list[int]) -> None:
    starts = np.cumsum([0, *chunks[:-1]])
    calls = [stage_values(n, start=int(start)) for n, start in zip(chunks, starts, strict=True)]
    trace = read_trace(write(tmp_path, calls, keep_values=True))
    memory = MemoryTrace("native")
    for call in calls:
        for value in call:
            memory(value)
    assert trace.positions() == memory.positions() == list(range(6))
    stages = [(0, "q_proj"), (0, "attn_probs"), (1, "q_proj"), (1, "attn_probs")]
    assert trace.stages() == memory.stages() == stages
    for kept in (trace, memory):
        np.testing.assert_array_equal(kept.value(1, "q_proj", 4), _row(4, 1))
        np.testing.assert_array_equal(kept.value(0, "attn_probs", 2), np.full((N_HEAD, 3), 1 / 3, np.float32))


def test_values_of_a_strided_view_are_kept_in_order(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6).T[:, ::2]
    trace = read_trace(write(tmp_path, [[StageValue(0, "ffn_out", 0, 0, values)]], keep_values=True))
    for position in range(6):
        np.testing.assert_array_equal(trace.value(0, "ffn_out", position), values[position])


def test_value_window_keeps_only_its_positions_and_stages(tmp_path: Path) -> None:
    window = ValueWindow(StageFilter.parse("1:q_proj"), range(2, 4))
    trace = read_trace(write(tmp_path, [stage_values(6)], keep_values=window))
    kept = [(*s, p) for s in trace.stages() for p in trace.positions() if trace.has_value(*s, p)]
    assert kept == [(1, "q_proj", 2), (1, "q_proj", 3)]
    np.testing.assert_array_equal(trace.value(1, "q_proj", 3), _row(3, 1))
    with pytest.raises(BadInput, match="were not kept"):
        trace.value(1, "q_proj", 4)
    with pytest.raises(BadInput, match="was not recorded"):
        trace.value(1, "ffn_out", 4)


def test_second_run_overwrites_nothing(tmp_path: Path) -> None:
    first, second = write(tmp_path, [stage_values(1)]), write(tmp_path, [stage_values(2)])
    assert (first.name, second.name) == ("native", "native-2")
    assert (len(read_trace(first)), len(read_trace(second))) == (4, 8)
    with pytest.raises(BadInput, match=r"holds 2 runs \(native, native-2\)"):
        read_trace(tmp_path)


def test_run_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run name"):
        TraceWriter(tmp_path, "native", run="../elsewhere")


def test_record_cut_off_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    file = write(tmp_path, [stage_values(2)]) / "trace.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    trace = read_trace(tmp_path)
    assert len(trace) == 7
    assert "record 8 is cut off" in trace.damage[0]


def test_values_file_cut_off_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, [stage_values(2)], keep_values=ALL_VALUES)
    file = next((path / "values").iterdir())
    file.write_bytes(file.read_bytes()[:-4])
    trace = read_trace(path)
    assert file.name in trace.damage[0]
    assert not trace.has_value(0, "q_proj", 0)


def test_interrupted_run_is_readable_up_to_the_interruption(tmp_path: Path) -> None:
    def interrupted() -> None:
        with TraceWriter(tmp_path, "native") as writer:
            for value in stage_values(2):
                writer(value)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(read_trace(tmp_path)) == 8


def test_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, [stage_values(2)]) / "trace.jsonl"
    file.write_text('{"name": "x"}\n' + file.read_text())
    with pytest.raises(BadInput, match="line 1 is no trace record"):
        read_trace(tmp_path)


def test_folder_without_records_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(NotCompared, match="holds no trace"):
        read_trace(tmp_path)
    write(tmp_path, [])
    with pytest.raises(NotCompared, match="no whole trace record"):
        read_trace(tmp_path)
    with pytest.raises(BadInput, match="no such trace"):
        read_trace(tmp_path / "nowhere")


def test_failure_to_write_is_raised_by_close(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, "native", keep_values=ALL_VALUES)
    (writer.path / "values").write_text("a file where the folder should be")
    writer(stage_values(1)[0])
    with pytest.raises(OSError, match="values"):
        writer.close()


def test_attention_row_ends_at_its_position() -> None:
    probs = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    value = StageValue(0, "attn_probs", 0, 0, probs)
    assert [position_row(value, i).shape for i in range(3)] == [(2, 1), (2, 2), (2, 3)]


BITNET_RS = {"shape": [1, 4], "dtype": "F32", "blake3": "ab" * 32, "rms": 0.5, "num_elements": 4}


@pytest.mark.parametrize(
    ("name", "seq", "layer", "stage"),
    [
        ("t0/blk3/q_proj", 0, 3, "q_proj"),
        ("blk0/attn_norm", 0, 0, "attn_norm"),
        ("t5_logits", 5, -1, "logits"),
        ("embeddings", 0, -1, "embeddings"),
        ("t0/blk12/attn_scores_softmax", 0, 12, "attn_probs"),
        ("t7_all_layers_out", 7, -1, "all_layers_out"),
    ],
)
def test_bitnet_rs_record_is_placed_by_its_name(
    tmp_path: Path, name: str, seq: int, layer: int, stage: str
) -> None:
    text = json.dumps({"name": name, **BITNET_RS}, indent=2)
    (tmp_path / f"{name.replace('/', '_')}.trace").write_text(text)
    record = read_trace(tmp_path).records[0]
    assert (record.seq, record.layer, record.stage) == (seq, layer, stage)


def test_bitnet_rs_fields_win_over_the_name(tmp_path: Path) -> None:
    data = {"name": "t0/blk3/q_proj", **BITNET_RS, "seq": 2, "layer": 4, "stage": "k_proj"}
    (tmp_path / "x.trace").write_text(json.dumps(data, indent=2))
    record = read_trace(tmp_path).records[0]
    assert (record.seq, record.layer, record.stage) == (2, 4, "k_proj")


def test_bitnet_rs_jsonl_is_read(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    file.write_text(json.dumps({"name": "t0/blk3/q_proj", **BITNET_RS}) + "\n")
    assert [(r.layer, r.stage) for r in read_trace(file)] == [(3, "q_proj")]


def test_bitnet_rs_file_cut_off_is_named(tmp_path: Path) -> None:
    text = json.dumps({"name": "embeddings", **BITNET_RS}, indent=2)
    (tmp_path / "embeddings.trace").write_text(text)
    (tmp_path / "t0_logits.trace").write_text(text[:50])
    trace = read_trace(tmp_path)
    assert len(trace) == 1
    assert "t0_logits.trace: is cut off" in trace.damage[0]


def test_bitnet_rs_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.trace").write_text("[1, 2]")
    with pytest.raises(BadInput, match=r"x\.trace: is no trace record"):
        read_trace(tmp_path)


def test_unknown_keys_of_a_record_are_ignored() -> None:
    record = TraceRecord.from_mapping({"name": "x", **BITNET_RS, "device": "cuda"})
    assert record.blake3 == BITNET_RS["blake3"]
