"""Trace records that the core makes: those of trace.record, with the digests of the blake3 package."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from bitparity.engine import RecordsTraces, StageValue
from bitparity.errors import BadInput
from bitparity.stages import StageFilter
from bitparity.trace import TraceWriter, read_trace
from bitparity.trace.record import RecordMaker, TraceRecord
from bitparity_native import _core
from bitparity_native.engine import NativeEngine

KERNEL_SETS = [name for name, _, runs_here in _core.kernels.kernel_sets() if runs_here]
MEASURES = ("rms", "min", "max", "mean")
# Around every border of the hash: block, chunk, eight lanes, a level with an odd end.
LENGTHS = sorted({max(0, n + d) for n in (0, 64, 1024, 2048, 3072, 8192, 9216, 17408) for d in (-1, 0, 1, 4)})


@pytest.mark.parametrize("kernels", KERNEL_SETS)
@pytest.mark.parametrize("length", [*LENGTHS, 1 << 20, (1 << 20) + 5])
def test_digest_is_that_of_the_blake3_package(kernels: str, length: int) -> None:
    data = os.urandom(length)
    assert _core.blake3(kernels, data) == blake3(data).digest()


@pytest.mark.parametrize("kernels", KERNEL_SETS)
@given(data=st.binary(max_size=5000))
def test_digest_of_any_bytes_is_that_of_the_blake3_package(kernels: str, data: bytes) -> None:
    assert _core.blake3(kernels, data) == blake3(data).digest()


def parsed(lines: bytes) -> list[TraceRecord]:
    return [TraceRecord.from_mapping(json.loads(line)) for line in lines.splitlines()]


def assert_same_records(actual: list[TraceRecord], expected: list[TraceRecord]) -> None:
    """Equal but for the statistics, whose float32 sums may be taken in any order."""
    assert len(actual) == len(expected) > 0
    for a, e in zip(actual, expected, strict=True):
        assert a._replace(**dict.fromkeys(MEASURES)) == e._replace(**dict.fromkeys(MEASURES)), e.name
        scale = max(abs(e.min or 0), abs(e.max or 0))
        for key in MEASURES:  # six digits of the largest element, as record.py promises
            found, wanted = getattr(a, key), getattr(e, key)
            close = None if wanted is None else pytest.approx(wanted, rel=1e-6, abs=1e-6 * scale)
            assert found == close, (e.name, key)


def stage_values(seed: int, n: int, width: int, position: int) -> list[StageValue]:
    rng = np.random.default_rng(seed)
    probs = np.tril(rng.random((3, n, position + n), np.float32), position).swapaxes(0, 1)
    values = rng.standard_normal((n, width), np.float32)
    spoiled = values.copy()
    spoiled[rng.random(values.shape) < 0.3] = rng.choice([np.nan, np.inf, -np.inf, 3e30])
    named = [
        ("embeddings", -1, values),
        ("attn_probs", 2, np.ascontiguousarray(probs)),
        ("ffn_out", 2, spoiled),
    ]
    return [StageValue(layer, stage, position, 0, data) for stage, layer, data in named]


@given(
    st.integers(0, 2**32),
    st.integers(1, 20),
    st.sampled_from([1, 7, 8, 9, 256, 257, 640, 4100]),
    st.integers(0, 9),
    st.sampled_from([1, 2]),
)
def test_records_of_arrays_are_those_of_the_definition(
    seed: int, n: int, width: int, position: int, threads: int
) -> None:
    recorder, maker = _core.Recorder(engine="e", run="r", threads=threads), RecordMaker("e", "r")
    values = stage_values(seed, n, width, position)
    for _ in range(2):  # the second time as after a rollback
        for value in values:
            recorder.add(value.layer, value.stage, value.position, value.values)
        assert_same_records(parsed(recorder.take(0)), maker.records(values))


def test_stages_recorded_unequally_often_are_numbered_each_for_itself() -> None:
    row = np.ones((1, 4), np.float32)
    recorder, maker = _core.Recorder(engine="e", run="r", threads=1), RecordMaker("e", "r")
    for seq, stages in ((0, ["ffn_up"]), (0, ["ffn_up", "ffn_out"]), (3, ["ffn_up"]), (0, ["ffn_out"])):
        for stage in stages:
            recorder.add(1, stage, 5, row)
        values = [StageValue(1, stage, 5, seq, row) for stage in stages]
        assert_same_records(parsed(recorder.take(seq)), maker.records(values))


@pytest.mark.parametrize("batches", [(3, 1), (1, 3), (1, 1), (9, 2, 1)], ids=str)
def test_batches_that_one_call_is_cut_into_are_recorded_each_for_itself(batches: tuple[int, ...]) -> None:
    """llama.cpp runs a prefill of 513 as 512 and 1, and is recorded when both are done."""
    rng = np.random.default_rng(0)
    values, position = [], 0
    for rows in batches:
        values.append(StageValue(0, "ffn_out", position, 0, rng.standard_normal((rows, 8), np.float32)))
        position += rows
    recorder = _core.Recorder(engine="e", run="r", threads=2)
    for value in values:
        recorder.add(value.layer, value.stage, value.position, value.values)
    assert_same_records(parsed(recorder.take(0)), RecordMaker("e", "r").records(values))


def test_names_of_any_characters_are_written_as_json_has_them() -> None:
    row, name = np.ones((1, 4), np.float32), 'an "engine"\\of\x00\x1f\n\t\x7f mine, é 😀'
    recorder = _core.Recorder(engine=name, run=name + "'s", threads=1)
    recorder.add(0, f"my {name}", 0, row)
    (record,) = parsed(recorder.take(0))
    expected = RecordMaker(name, name + "'s").records([StageValue(0, f"my {name}", 0, 0, row)])
    assert_same_records([record], expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_step_too_large_to_wait_for_its_end_is_recorded_whole(threads: int) -> None:
    rng = np.random.default_rng(threads)
    widths = [640, 2560, 6912] * 20  # 202,240 values; the recorder measures what waits from 131,072 on
    values = [
        StageValue(layer, "ffn_out", 3, 0, rng.standard_normal((1, width), np.float32))
        for layer, width in enumerate(widths)
    ]
    recorder, maker = _core.Recorder(engine="e", run="r", threads=threads), RecordMaker("e", "r")
    for value in values:
        recorder.add(value.layer, value.stage, value.position, value.values)
    assert_same_records(parsed(recorder.take(0)), maker.records(values))


def test_row_without_a_finite_element_has_no_statistics() -> None:
    recorder = _core.Recorder(engine="e", run="r", threads=1)
    recorder.add(0, "ffn_out", 0, np.full((1, 5), np.nan, np.float32))
    (record,) = parsed(recorder.take(1))
    assert (record.non_finite, record.rms, record.min, record.max, record.mean) == (5, None, None, None, None)


def test_array_of_the_wrong_kind_is_refused() -> None:
    recorder = _core.Recorder(engine="e", run="r", threads=1)
    with pytest.raises(ValueError, match="axes"):
        recorder.add(0, "attn_probs", 0, np.zeros((1, 5), np.float32))
    with pytest.raises(ValueError, match="no values"):
        recorder.add(0, "ffn_out", 0, np.zeros((0, 5), np.float32))
    with pytest.raises(TypeError):
        recorder.add(0, "ffn_out", 0, np.zeros((1, 5)))


@pytest.mark.parametrize("n_prefill", [6, 517], ids=["one chunk", "two chunks"])
def test_session_records_what_its_tap_gives(model_of, tmp_path: Path, n_prefill: int) -> None:
    ids = [int(i) for i in np.random.default_rng(3).integers(0, 500, n_prefill)]
    traces = []
    for keep_values in (False, True):  # by itself, and through the tap
        session = NativeEngine().open(model_of(arch="bitnet-b1.58"), context=640, threads=2)
        assert isinstance(session, RecordsTraces)
        with (
            TraceWriter(tmp_path, "native", keep_values=keep_values) as writer,
            writer.recording(session, StageFilter.parse("*:*")),
        ):
            session.prefill(ids, logits="last")
            session.rollback(n_prefill - 2)
            session.prefill(ids[-2:])  # once more, but the logits of the last but one for the first time
            session.rollback(n_prefill - 1)
            session.prefill(ids[-1:])
            session.decode(7)
        trace = read_trace(writer.path)
        assert len({record.name for record in trace}) == len(trace) == (n_prefill + 4) * (2 * 18 + 1) + 2 * 5
        traces.append([rows._replace(run="", values_file=None) for _, rows in sorted(trace.rows.items())])
    assert_same_records(*traces)


def test_failure_to_write_a_recording_is_raised_by_close(model_of, tmp_path: Path, monkeypatch) -> None:
    def fail(writer: TraceWriter, lines: bytes) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(TraceWriter, "_append", fail)
    session = NativeEngine().open(model_of(arch="bitnet"), context=32, threads=1)
    writer = TraceWriter(tmp_path, "native")
    with writer.recording(session, StageFilter.parse("0:ffn_act")):
        session.prefill([1, 2])
    with pytest.raises(OSError, match="no space left"):
        writer.close()


def test_recording_ends_with_its_context_and_is_not_nested(model_of) -> None:
    session = NativeEngine().open(model_of(arch="bitnet"), context=32, threads=1)
    lines: list[bytes] = []
    stages = StageFilter.parse("0:ffn_act")
    with session.record(stages, lines.append, engine="native", run="r"):
        session.prefill([1, 2])
        with pytest.raises(BadInput, match="one recording"):
            session.record(stages, lines.append, engine="native", run="r").__enter__()
    session.decode(3)
    assert [r.position for r in parsed(b"".join(lines))] == [0, 1]
