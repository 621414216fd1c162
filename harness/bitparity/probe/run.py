"""Run an engine on a chart and read what it computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from bitparity.engine import Engine, Fingerprint
from bitparity.errors import BadInput, EngineFailed, NotCompared
from bitparity.fit.observed import Observed, observe_sequence
from bitparity.model import open_model
from bitparity.model.synthetic import ModelSpec
from bitparity.model.twin import in_formats_of
from bitparity.model.types import Model
from bitparity.model.writer import Progress
from bitparity.oracle.arithmetic import Arithmetic, arithmetic_named
from bitparity.probe.chart import CHARTS, SEQUENCES, chart_like, make_chart, small_chart_like
from bitparity.probe.parts import (
    ATTENTION,
    FEED_FORWARD,
    Part,
    branch_part,
    ends_part,
    whole_part,
    write_part,
)
from bitparity.probe.reader import Reader
from bitparity.probe.sheet import Findings, Sheet
from bitparity.processors import one_blas_thread
from bitparity.runs import open_session, refusal_of, require_available
from bitparity.settings import Settings

CONTEXT = 64


@one_blas_thread()
def probe(
    engine: Engine,
    settings: Settings,
    *,
    like: Model | None = None,
    in_its_shapes: bool = True,
    among: Sequence[Arithmetic] = (),
    threads: int | None = None,
    device_id: int | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """Read what an engine computes from its logits on models that are written for it.

    like  a model whose architecture, shapes and formats they have; None takes those that the engine opens
    in_its_shapes  or in small ones
    among  arithmetics that are tried; empty tries all

    Raises NotCompared when it opens none of them, and EngineFailed when it fails on one that it opened.
    """
    require_available(engine)
    sessions = Sessions(engine, settings, threads, device_id)
    with TemporaryDirectory(prefix="bitparity-probe-") as folder:
        make_spec = chart_like if in_its_shapes else small_chart_like
        chart = _chart(sessions, Path(folder), CHARTS if like is None else (make_spec(like),))
        ends, *each, whole = _parts(chart)
        readers = sessions.read(Path(folder), chart, [ends, *each, whole], SEQUENCES, progress)
        findings = read_branches(readers[0], readers[1:-1], among)
        if findings.readings[ends.name].fits:
            findings.read_together(readers[-1])
        return sheet_of(sessions, chart, findings)


class Sessions:
    """Sessions of one engine with one model after the other.

    fingerprint  of the last one
    """

    def __init__(
        self, engine: Engine, settings: Settings, threads: int | None, device_id: int | None
    ) -> None:
        self.engine, self._settings = engine, settings
        self._threads, self._device_id = threads, device_id
        self.fingerprint: Fingerprint | None = None

    def observed(self, model: Model, sequences: Sequence[tuple[int, ...]]) -> list[Observed]:
        """What the engine gives for sequences, token by token and all at once."""
        opened = open_session(
            self.engine,
            model,
            context=CONTEXT,
            settings=self._settings,
            threads=self._threads,
            device_id=self._device_id,
        )
        with opened as session:
            if session.info.most_probable is not None:
                raise NotCompared(
                    f"{self.engine.name} gives its most probable tokens only; a probe needs logits"
                )
            if session.info.n_vocab != model.hyper.n_vocab:
                counts = f"{session.info.n_vocab} logits, the model has {model.hyper.n_vocab}"
                raise NotCompared(f"{self.engine.name} gives {counts}")
            self.fingerprint = session.info.fingerprint
            return [observed for ids in sequences for observed in observe_sequence(session, ids)]

    def read(
        self,
        folder: Path,
        model: Model,
        parts: Sequence[Part],
        sequences: Mapping[str, Sequence[tuple[int, ...]]],
        progress: Progress | None = None,
        meant: Model | None = None,
    ) -> list[Reader]:
        """Run what is left of a model for each part.

        sequences  of token ids, by kind of part
        meant      what the model was meant to be, where it is a twin in other formats
        """
        readers = []
        for number, part in enumerate(parts):
            if progress is not None:
                progress(number, len(parts))
            path = folder / f"part-{number}.gguf"
            write_part(model, path, part, model.hyper.n_layer)
            left = open_model(path)
            observed = self.observed(left, sequences[part.kind])
            if meant is not None:
                write_part(meant, folder / "meant.gguf", part, meant.hyper.n_layer)
                left = in_formats_of(left, open_model(folder / "meant.gguf"))
            readers.append(Reader(part, left, observed))
        return readers


def _chart(sessions: Sessions, folder: Path, specs: Sequence[ModelSpec]) -> Model:
    """The first chart that the engine opens and runs."""
    refused = []
    for number, spec in enumerate(specs):
        reason = refusal_of(sessions.engine, spec.arch, {spec.weight_format, spec.head_format, "F32"})
        if reason is not None:
            refused.append(reason)
            continue
        chart = make_chart(folder / f"chart-{number}.gguf", spec)
        try:
            sessions.observed(chart, SEQUENCES["ends"][:1])
        except (BadInput, EngineFailed, NotCompared) as error:
            refused.append(str(error))
        else:
            return chart
    raise NotCompared(
        f"{sessions.engine.name} ran none of {len(specs)} probe models ({refused[0]}); "
        "name a model that it runs"
    )


def _parts(model: Model) -> list[Part]:
    return [*single_parts(model), whole_part(model.hyper.architecture, model.hyper.n_layer)]


def single_parts(model: Model) -> list[Part]:
    """The ends, then every branch of every block."""
    graph = model.hyper.architecture
    kinds = (FEED_FORWARD, ATTENTION)
    each = (branch_part(graph, layer, branch) for layer in range(model.hyper.n_layer) for branch in kinds)
    return [ends_part(graph), *each]


def read_branches(ends: Reader, each: Sequence[Reader], among: Sequence[Arithmetic] = ()) -> Findings:
    """What parts say; when nothing gives the ends, which all parts have, no branch can be read.

    among  arithmetics that are tried; empty tries all
    """
    findings = Findings(ends.options, among)
    findings.read([ends])
    if findings.readings[ends.part.name].fits:
        findings.read(each)
    return findings


def sheet_of(sessions: Sessions, model: Model, findings: Findings) -> Sheet:
    """All that was found."""
    assert sessions.fingerprint is not None
    return Sheet(
        engine=sessions.engine.name,
        fingerprint=asdict(sessions.fingerprint),
        chart=_described(model),
        stated=_stated(sessions.fingerprint),
        arithmetic=findings.arithmetic,
        lines=findings.lines(),
        readings=tuple(findings.readings.values()),
    )


def _described(chart: Model) -> str:
    hyper, formats = chart.hyper, chart.format_counts()
    named = ", ".join(sorted(formats, key=lambda name: -formats[name]))
    return f"{hyper.arch}, {hyper.n_layer} blocks of width {hyper.n_embd}; {named}"


def _stated(fingerprint: Fingerprint) -> Arithmetic | None:
    name = fingerprint.details.get("arithmetic")
    try:
        return None if name is None else arithmetic_named(name)
    except BadInput:
        return None
