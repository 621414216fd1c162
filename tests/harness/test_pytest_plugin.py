"""The plugin in a stranger's project: passes, failures that explain themselves, skips with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.registry import get_engine

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from bitparity.oracle.engine import OracleEngine

class Shifted:
    # A stranger's engine that no package announces: the oracle, with one logit moved from position 2 on.
    def __init__(self):
        self.oracle = OracleEngine()
        self.name = "shifted"
    def availability(self):
        return self.oracle.availability()
    def refusal(self, *given):
        return None
    def open(self, *given, **options):
        session = self.oracle.open(*given, **options)
        prefill = session.prefill
        def moved(tokens, **options):
            rows = prefill(tokens, **options)
            rows[2:, 0] += 100
            return rows
        session.prefill = moved
        return session
"""
OVERRIDE = """
@pytest.fixture(scope="session")
def candidate_engine():
    return Shifted()
"""
TEST = """
def test_parity(parity):
    parity.assert_positions_match([5, 6, 7, 8], limit=1e-4)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    make_model(path, ModelSpec(n_layer=1, context_length=64))
    return path


def run(pytester: pytest.Pytester, model: Path, *words: str) -> pytest.RunResult:
    candidate = ["--parity-candidate", "oracle"]
    return pytester.runpytest_inprocess(
        "--parity-model", str(model), *candidate, *words, "-p", "no:cacheprovider"
    )


def test_parity_passes_on_equal_engines(pytester: pytest.Pytester, model: Path) -> None:
    pytester.makepyfile(
        TEST
        + """
def test_text(parity):
    result = parity.assert_positions_match("Hi there", chunks="mixed", steps=2, limit=1e-4)
    assert len(result.to_frame()) == result.asked

def test_sessions(reference_session, candidate_session, parity_model):
    assert reference_session.info == candidate_session.info
"""
    )
    run(pytester, model, "--parity-reference", "oracle").assert_outcomes(passed=3)


def test_kernel_set_of_the_candidate_can_be_named(pytester: pytest.Pytester, model: Path) -> None:
    if not get_engine("native").availability().found:
        pytest.skip("native is not built")
    pytester.makepyfile(
        """
def test_kernels(parity):
    result = parity.assert_positions_match([1, 2], limit=1e-4)
    assert parity.candidate.info.fingerprint.kernels == "portable"
    assert "--kernels portable" in result.command
"""
    )
    named = ("--parity-reference", "oracle", "--parity-candidate", "native")
    run(pytester, model, *named, "--parity-kernels", "portable").assert_outcomes(passed=1)


def test_kernel_set_of_a_candidate_that_has_none_is_refused(pytester: pytest.Pytester, model: Path) -> None:
    pytester.makepyfile("def test_parity(parity): pass")
    result = run(pytester, model, "--parity-reference", "oracle", "--parity-kernels", "avx2")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "*BadInput: oracle has no kernel sets to choose from; leave out --kernels avx2"
    )


def test_stages_are_judged(pytester: pytest.Pytester, model: Path) -> None:
    pytester.makepyfile(
        "def test_stages(parity): assert parity.assert_stages_match([1, 2]).blame is not None"
    )
    run(pytester, model, "--parity-reference", "oracle").assert_outcomes(passed=1)


def test_failure_explains_itself_and_gives_the_command(pytester: pytest.Pytester, model: Path) -> None:
    pytester.makeconftest(CONFTEST + OVERRIDE)
    pytester.makepyfile(TEST)
    outcome = run(pytester, model, "--parity-reference", "oracle")
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(
        [
            "*diverged at 2 of 4 positions; the first is position 2: the best token is 0 instead of*",
            "*position 2, token 7: *",
            "*position 3, token 8: *",
            "*repeat: bitparity compare * --reference oracle * --tokens 5,6,7,8 --chunks prefill*",
        ]
    )
    assert "pytest_plugin.py" not in outcome.stdout.str()


def test_missing_reference_is_a_skip_with_its_reason(
    pytester: pytest.Pytester, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    pytester.makepyfile(TEST)
    outcome = run(pytester, model, "--parity-reference", "bitnet.cpp", "-rs")
    outcome.assert_outcomes(skipped=1)
    outcome.stdout.fnmatch_lines(["SKIPPED*BITNET_CPP_DIR*"])


@pytest.mark.parametrize("name", ["llama.cpp", "oracle"])
def test_missing_reference_is_a_skip_when_another_is_required(
    pytester: pytest.Pytester, model: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    pytester.makepyfile(TEST)
    words = ("--parity-reference", "bitnet.cpp", "--require-reference", name)
    run(pytester, model, *words).assert_outcomes(skipped=1)


def test_reference_that_nobody_announces_cannot_be_required(pytester: pytest.Pytester, model: Path) -> None:
    pytester.makepyfile(TEST)
    outcome = run(pytester, model, "--require-reference", "lama.cpp")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["*no engine is named 'lama.cpp'; there are bitnet.cpp, llama.cpp*"])


@pytest.mark.parametrize(
    "code",
    [
        "from bitparity.pytest_plugin import require_engine\n"
        "def test_it(pytestconfig): require_engine(pytestconfig, 'bitnet.cpp')",
        "from bitparity.pytest_plugin import missing_reference\n"
        "def test_it(pytestconfig): missing_reference(pytestconfig, 'bitnet.cpp', 'no BITNET_CPP_DIR')",
    ],
    ids=["engine", "part"],
)
def test_test_that_finds_its_reference_by_itself_says_so_in_the_same_way(
    pytester: pytest.Pytester, model: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    pytester.makepyfile(code)
    run(pytester, model).assert_outcomes(skipped=1)
    run(pytester, model, "--require-reference", "llama.cpp").assert_outcomes(skipped=1)
    outcome = run(pytester, model, "--require-reference", "llama.cpp", "--require-reference", "bitnet.cpp")
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(["*--require-reference bitnet.cpp: *BITNET_CPP_DIR*"])


def test_missing_reference_is_an_error_when_it_is_required(
    pytester: pytest.Pytester, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITNET_CPP_DIR", raising=False)
    pytester.makepyfile(TEST)
    outcome = run(pytester, model, "--parity-reference", "bitnet.cpp", "--require-reference", "bitnet.cpp")
    outcome.assert_outcomes(errors=1)
    outcome.stdout.fnmatch_lines(["*--require-reference bitnet.cpp: *BITNET_CPP_DIR*"])
