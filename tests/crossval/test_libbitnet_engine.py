"""libbitnet as a candidate by engine.h: the harness sees native's logits and stages, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity import open_session, read_settings
from bitparity.engine import Session, StageValue
from bitparity.engines.ways import open_engine
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.stages import StageFilter
from bitparity_native.engine import NativeEngine
from bitparity_native.library import library_path

PROMPT = "A list is a sequence of <values>, é."


def recorded(session: Session) -> tuple[list[int], bytes, list[tuple[str, int, int, bytes]]]:
    """Ids, logits and stages of a prefill, a decode step, a rollback and a decode step."""
    values: list[StageValue] = []
    ids = session.tokenize(PROMPT, add_bos=True, parse_special=True)
    with session.tap(StageFilter.parse("*:*"), values.append):
        rows = [session.prefill(ids), session.decode(7)]
        session.rollback(3)
        rows.append(session.decode(9))
    assert session.detokenize(ids[1:]) == PROMPT
    stages = [(v.stage, v.layer, v.position, np.ascontiguousarray(v.values).tobytes()) for v in values]
    return ids, b"".join(row.tobytes() for row in rows), stages


@pytest.mark.parametrize("arch", ARCHS)
def test_library_as_a_candidate_gives_the_ids_logits_and_stages_of_native(arch: str) -> None:
    model = open_model(bundled_model(arch))
    engines = (NativeEngine(), open_engine(str(library_path()), time_limit=60))
    found = []
    for engine in engines:
        with open_session(engine, model, context=64, settings=read_settings(), threads=1) as session:
            found.append(recorded(session))
            assert session.info.fingerprint.details["arithmetic"]
    native, library = found
    assert library[0] == native[0]
    assert library[1] == native[1]
    assert sorted(library[2]) == sorted(native[2])
