"""The pytest plugin: fixtures and assertions that compare a candidate engine with a reference.

    def test_parity(parity):
        parity.assert_positions_match("The capital of France is", chunks="decode")

| fixture | is |
|---|---|
| parity_model | path of the model: --parity-model, else a bundled one in a format that both engines run |
| reference_engine, candidate_engine | named by --parity-reference and --parity-candidate; override one to test an engine that no package announces |
| reference_session, candidate_session | the model open in each, closed after the test |
| parity | the two with their assertions |

A reference that is missing is a skip with its reason, and an error where --require-reference names it.  Tests that
find their references without these fixtures say so with `require_engine` and `missing_reference`.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from bitparity.errors import NotCompared

if TYPE_CHECKING:
    from bitparity.compare.result import ComparisonResult
    from bitparity.engine import Engine, Session
    from bitparity.model.types import Model


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bitparity", "parity of BitNet engines")
    group.addoption("--parity-model", help="GGUF file to compare on (default: a bundled model)")
    group.addoption(
        "--parity-reference", default="auto", help="engine to trust, by its name or file (default: auto)"
    )
    group.addoption(
        "--parity-candidate",
        default="native",
        help="engine under test, by its name or file (default: native)",
    )
    group.addoption("--parity-kernels", help="kernel set of the engine under test (default: its best)")
    group.addoption(
        "--parity-time-limit",
        type=float,
        help="seconds after which an engine that gives no sign of life counts as hung (default: 600)",
    )
    group.addoption(
        "--parity-require",
        choices=["agree", "explained", "noise"],
        default="noise",
        help="the least verdict that passes (default: noise)",
    )
    group.addoption(
        "--require-reference",
        action="append",
        default=[],
        metavar="ENGINE",
        help="fail every test that needs this reference when it is missing, instead of skipping it; "
        "may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a name that no engine has: mistyped, it would require nothing."""
    from bitparity.registry import engine_names

    for name in config.getoption("--require-reference"):
        if name not in engine_names():
            known = ", ".join(engine_names())
            raise pytest.UsageError(f"--require-reference: no engine is named {name!r}; there are {known}")


def is_required(config: pytest.Config, reference: str) -> bool:
    """Whether --require-reference names this reference."""
    return reference in config.getoption("--require-reference")


def missing_reference(config: pytest.Config, reference: str, reason: str) -> NoReturn:
    """Skip the test that needs this reference, or fail it where --require-reference names the reference."""
    if is_required(config, reference):
        pytest.fail(f"--require-reference {reference}: {reason}", pytrace=False)
    pytest.skip(reason)


def require_engine(config: pytest.Config, reference: str) -> Engine:
    """The reference of that name; where it is missing, the test ends as missing_reference says."""
    from bitparity.engines.ways import open_engine
    from bitparity.runs import require_available

    try:
        engine = open_engine(reference, time_limit=config.getoption("--parity-time-limit"))
        require_available(engine)
    except NotCompared as error:
        missing_reference(config, reference, str(error))
    return engine


@pytest.fixture(scope="session")
def reference_engine(request: pytest.FixtureRequest) -> Engine:
    return require_engine(request.config, _named_reference(request.config))


@pytest.fixture(scope="session")
def candidate_engine(request: pytest.FixtureRequest) -> Engine:
    from bitparity.engines.ways import open_engine

    kernels = request.config.getoption("--parity-kernels")
    time_limit = request.config.getoption("--parity-time-limit")
    return open_engine(request.config.getoption("--parity-candidate"), time_limit=time_limit, kernels=kernels)


@pytest.fixture(scope="session")
def parity_model(request: pytest.FixtureRequest, reference_engine: Engine, candidate_engine: Engine) -> Path:
    from bitparity.choose import choose_model

    with _missing_is_a_skip(request):
        return choose_model(request.config.getoption("--parity-model"), [reference_engine, candidate_engine])


@pytest.fixture
def reference_session(
    request: pytest.FixtureRequest, reference_engine: Engine, parity_model: Path
) -> Iterator[Session]:
    with _missing_is_a_skip(request):
        session = _open(reference_engine, parity_model)
    yield session
    session.close()


@pytest.fixture
def candidate_session(
    request: pytest.FixtureRequest, candidate_engine: Engine, parity_model: Path
) -> Iterator[Session]:
    from bitparity.runs import follow

    if "reference_session" in request.fixturenames:
        candidate_engine = follow(
            candidate_engine, request.getfixturevalue("reference_session").info.fingerprint
        )
    session = _open(candidate_engine, parity_model)
    yield session
    session.close()


@pytest.fixture
def parity(
    request: pytest.FixtureRequest,
    reference_engine: Engine,
    candidate_engine: Engine,
    parity_model: Path,
    reference_session: Session,
    candidate_session: Session,
) -> Parity:
    from bitparity.model import open_model

    model = open_model(parity_model)
    kernels = request.config.getoption("--parity-kernels")
    required = request.config.getoption("--parity-require")
    sessions = reference_session, candidate_session
    return Parity(model, reference_engine, candidate_engine, *sessions, kernels, required)


@dataclass(frozen=True)
class Parity:
    """Two engines with one model open in both.

    kernels   the candidate's kernel set, if one was named
    required  the least verdict that passes: agree, explained or noise
    """

    model: Model
    reference_engine: Engine
    candidate_engine: Engine
    reference: Session
    candidate: Session
    kernels: str | None = None
    required: str = "noise"

    def compare(
        self,
        prompt: str | Sequence[int],
        *,
        chunks: str = "prefill",
        steps: int = 0,
        limit: float | None = None,
        blame: bool = False,
    ) -> ComparisonResult:
        """Compare every position of a text or of token ids, and `steps` of greedy continuation.

        limit   on 1 - cosine; None is the measured noise of the reference
        blame   judge every stage of both engines as well
        """
        from bitparity.compare.chunking import Chunking
        from bitparity.compare.comparison import Comparison, Side
        from bitparity.compare.prompts import Prompt, text_prompt, tokenize
        from bitparity.compare.run import compare_engines
        from bitparity.engine import typed_name
        from bitparity.noise.verdict import Verdict
        from bitparity.report.failure import repeat_command
        from bitparity.settings import read_settings

        given = text_prompt(prompt) if isinstance(prompt, str) else Prompt(tokens=tuple(prompt))
        tokens = tokenize(given, self.reference, self.candidate)
        options = ["--steps", str(steps)] if steps else []
        options += ["--limit", f"{limit:g}"] if limit is not None else []
        options += ["--blame"] if blame else []
        options += ["--require", self.required] if self.required != Verdict.NOISE.value else []
        options += ["--kernels", self.kernels] if self.kernels is not None else []
        names = (typed_name(self.reference_engine), typed_name(self.candidate_engine))
        comparison = Comparison(
            reference=Side(self.reference_engine, self.model),
            candidate=Side(self.candidate_engine, self.model),
            prompts=[Prompt(given.text, tuple(tokens))],
            settings=read_settings(),
            chunking=Chunking.parse(chunks),
            steps=steps,
            threads=self.reference.info.fingerprint.threads,
            required=Verdict(self.required),
            command=repeat_command(str(self.model.path), names, tokens, chunks, options),
        )
        return compare_engines(
            comparison, limit=limit, blame=blame, sessions=(self.reference, self.candidate)
        )

    def assert_positions_match(
        self,
        prompt: str | Sequence[int],
        *,
        chunks: str = "prefill",
        steps: int = 0,
        limit: float | None = None,
    ) -> ComparisonResult:
        """Fail, with an explanation, unless every position agrees or differs by noise; see `compare`."""
        __tracebackhide__ = True
        from bitparity.noise.verdict import Verdict
        from bitparity.report.failure import explain

        result = self.compare(prompt, chunks=chunks, steps=steps, limit=limit)
        if result.verdict is Verdict.DIVERGED:
            result = self.compare(prompt, chunks=chunks, steps=steps, limit=limit, blame=True)
        if result.exit_code != 0:
            raise AssertionError(explain(result))
        return result

    def assert_stages_match(
        self, prompt: str | Sequence[int], *, chunks: str = "prefill", steps: int = 0
    ) -> ComparisonResult:
        """Fail unless every position matches and no stage of either engine is wrong by itself."""
        __tracebackhide__ = True
        from bitparity.report.failure import explain

        result = self.compare(prompt, chunks=chunks, steps=steps, blame=True)
        if result.exit_code != 0:
            raise AssertionError(explain(result))
        return result


def _open(engine: Engine, path: Path) -> Session:
    from bitparity.model import open_model
    from bitparity.runs import choose_context, require_runnable
    from bitparity.settings import read_settings

    model = open_model(path)
    require_runnable(engine, model)
    return engine.open(path, context=choose_context(model), threads=read_settings().threads)


def _named_reference(config: pytest.Config) -> str:
    from bitparity.registry import resolve_reference
    from bitparity.settings import read_settings

    bitnet_cpp_is_set = read_settings().bitnet_cpp_dir is not None
    return resolve_reference(config.getoption("--parity-reference"), bitnet_cpp_is_set=bitnet_cpp_is_set)


@contextmanager
def _missing_is_a_skip(request: pytest.FixtureRequest) -> Iterator[None]:
    try:
        yield
    except NotCompared as error:
        missing_reference(request.config, _named_reference(request.config), str(error))
