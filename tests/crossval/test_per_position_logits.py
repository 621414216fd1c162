"""The main job: native against every reference, for every arch x format x chunking that the reference runs.

Run by `pytest -k per_position_logits`.  A reference that is missing is a skip with its reason, and an error
where --require-reference names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bitparity.architectures import ARCHITECTURES
from bitparity.choose import DEFAULT_PROMPT
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.pytest_plugin import Parity, require_engine
from bitparity.registry import get_engine
from bitparity.runs import follow, open_session
from bitparity.settings import read_settings

REFERENCES = ("llama.cpp", "bitnet.cpp")
FORMATS = ("F32", "F16", "BF16", "I2_S", "TQ1_0", "TQ2_0")
CHUNKS = ("prefill", "decode", "mixed")
N_RANDOM = 40  # tokens on a synthetic model: more than the 32 and 33 that tiles and chunks are cut at


@dataclass(frozen=True)
class Case:
    """One model in one reference; `source` is "trained" or "random"."""

    reference: str
    source: str
    arch: str
    weight_format: str

    def __str__(self) -> str:
        return f"{self.reference}-{self.source}-{self.arch}-{self.weight_format}"


def every_case() -> list[Case]:
    """What native and a reference both run; a trained model where there is one, a random one always."""
    native = get_engine("native")
    cases = []
    for name in REFERENCES:
        engine = get_engine(name)
        for arch in ARCHITECTURES:
            for weight_format in FORMATS:
                formats = {weight_format, "F16", "F32"}
                if engine.refusal(arch, formats) is None and native.refusal(arch, formats) is None:
                    sources = ("trained", "random") if arch in ARCHS else ("random",)
                    cases += [Case(name, source, arch, weight_format) for source in sources]
    return cases


@pytest.fixture(scope="module", params=every_case(), ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    require_engine(request.config, chosen.reference)
    return chosen


@pytest.fixture(scope="module")
def pair(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parity]:
    """Both engines with the model open, one thread each: tiny models gain nothing from more."""
    if case.source == "trained":
        path = bundled_model(case.arch, case.weight_format)
    else:
        path = tmp_path_factory.mktemp("random") / f"{case.arch}-{case.weight_format}.gguf"
        _make_random(path, case)
    model, settings = open_model(path), read_settings()
    reference, candidate = get_engine(case.reference), get_engine("native")
    with (
        open_session(reference, model, context=256, threads=1, settings=settings) as expected,
        open_session(
            follow(candidate, expected.info.fingerprint), model, context=256, threads=1, settings=settings
        ) as actual,
    ):
        yield Parity(model, reference, candidate, expected, actual)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_per_position_logits(case: Case, pair: Parity, chunks: str) -> None:
    """Every position agrees, or differs by no more than the reference's own noise."""
    prompt = DEFAULT_PROMPT if case.source == "trained" else _random_tokens(pair.model.hyper.n_vocab)
    result = pair.assert_positions_match(prompt, chunks=chunks, steps=4)
    assert result.counts()["compared"] == result.asked >= N_RANDOM + 4


@pytest.mark.parametrize("name", REFERENCES)
def test_per_position_logits_covers_both_references(name: str) -> None:
    """An engine that refuses everything would leave nothing to fail."""
    formats, archs = set(FORMATS), {a.name for a in ARCHITECTURES.values() if name in a.nodes}
    if name == "llama.cpp":
        formats.remove("I2_S")
    elif read_settings().bitnet_cpp_dir is not None:  # a tree of 2026 is nearly upstream's llama.cpp
        formats.remove("I2_S")
        archs = {"bitnet"}
    cases = [case for case in every_case() if case.reference == name]
    assert formats <= {case.weight_format for case in cases}
    assert archs <= {case.arch for case in cases}


def _random_case(reference: str, weight_format: str) -> list[Case]:
    """One of this format, or of another where the reference that was found does not run it."""
    cases = [case for case in every_case() if (case.reference, case.source) == (reference, "random")]
    return sorted(cases, key=lambda case: case.weight_format != weight_format)[:1]


@pytest.mark.parametrize(
    "case",
    [*_random_case("llama.cpp", "TQ1_0"), *_random_case("bitnet.cpp", "I2_S")],
    ids=str,
    indirect=True,
)
def test_per_position_logits_notices_other_weights(pair: Parity, case: Case, tmp_path: Path) -> None:
    """With one norm of native's side changed, the same comparison diverges."""
    path = tmp_path / "fault.gguf"
    path.write_bytes(pair.model.path.read_bytes())
    norm = pair.model.weights.layers[0]["ffn_norm"]
    with path.open("r+b") as file:
        file.seek(norm.offset)
        # a constant factor would vanish in the rescaling of activations
        file.write((norm.values() * np.linspace(1, 2, norm.shape[0])).astype("<f4").tobytes())
    candidate = follow(pair.candidate_engine, pair.reference.info.fingerprint)
    with open_session(candidate, open_model(path), context=256, threads=1, settings=read_settings()) as other:
        faulty = Parity(pair.model, pair.reference_engine, pair.candidate_engine, pair.reference, other)
        with pytest.raises(AssertionError, match="diverged at"):
            faulty.assert_positions_match(_random_tokens(pair.model.hyper.n_vocab))


def _make_random(path: Path, case: Case) -> None:
    make_model(path, ModelSpec(arch=case.arch, weight_format=case.weight_format, context_length=256))


def _random_tokens(n_vocab: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(0).integers(0, n_vocab, N_RANDOM)]
