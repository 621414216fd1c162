"""The default search: every contract on every implementation that is installed here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bitparity.formats import FORMATS
from bitparity.fuzz.campaign import replay_known
from bitparity.fuzz.contracts import CONTRACTS
from bitparity.fuzz.implementations import Implementation, Operation, find_implementations
from bitparity.fuzz.replay import snippet
from bitparity.fuzz.runner import search, targets
from bitparity.pytest_plugin import is_required
from bitparity.settings import read_settings

EXAMPLES = 20  # a target; `bitparity fuzz --examples 10000` is the nightly search
GROUPS = ("formats", "kernels")


@pytest.fixture(scope="module")
def implementations(pytestconfig: pytest.Config) -> Iterator[list[Implementation]]:
    found, missing = find_implementations(read_settings())
    for text in missing:  # the others are searched without it, unless it is required
        if is_required(pytestconfig, text.partition(":")[0]):
            pytest.fail(f"--require-reference {text}", pytrace=False)
    yield found
    for implementation in found:
        implementation.close()


@pytest.mark.parametrize("name", [p.name for p in CONTRACTS.values() if p.group in GROUPS])
def test_contract_holds_in_every_implementation(name: str, implementations: list[Implementation]) -> None:
    wanted = targets([CONTRACTS[name]], implementations)
    if not wanted:
        pytest.skip(f"no implementation found here promises {name}")
    outcomes = [search(target, examples=EXAMPLES, seed=0) for target in wanted]
    broken = [snippet(o.counterexample) for o in outcomes if o.counterexample is not None]
    assert not broken, "\n\n".join(broken)
    assert all(outcome.examples for outcome in outcomes)


# Formats of which only one implementation is at hand, and why.
ALONE: dict[str, str] = {}


def test_every_format_has_two_implementations(implementations: list[Implementation]) -> None:
    """The definition alone proves nothing."""
    if not any(i.name == "llama.cpp" for i in implementations):
        pytest.skip("llama.cpp is not installed, and nobody else unpacks Q8_K")
    others = [i for i in implementations if i.name != "numpy"]
    operations: tuple[Operation, ...] = ("pack", "unpack")
    alone = {f for f in FORMATS for o in operations if not any(i.has(o, f) for i in others)}
    assert alone == set(ALONE)


def test_gguf_package_unpacks_formats_that_it_cannot_pack(implementations: list[Implementation]) -> None:
    package = next(i for i in implementations if i.name == "gguf")
    for name in ("Q6_K", "Q4_K", "Q3_K"):
        assert package.has("unpack", name)
        assert not package.has("pack", name)


def test_references_say_how_they_were_built(implementations: list[Implementation]) -> None:
    """Known defects depend on it, and the host's CPU says nothing of it."""
    references = [i for i in implementations if i.name in ("bitnet.cpp", "llama.cpp")]
    if not references:
        pytest.skip("no reference is installed")
    for reference in references:
        assert "GCC" in reference.compiler or "clang" in reference.compiler
        assert reference.isa & {"avx2", "neon"}


def test_known_defects_are_where_they_are_listed(implementations: list[Implementation]) -> None:
    """Each shows in the builds that should have it, and in no other."""
    reports = replay_known(GROUPS, implementations)
    if not reports:
        pytest.skip("no implementation with a known defect is installed")
    assert [r.defect for r in reports if not r.is_as_listed] == []
