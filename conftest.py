"""Hypothesis profiles and the report header; fixtures are in tests/ and in bitparity.pytest_plugin.

Profiles are chosen by `pytest --hypothesis-profile NAME`.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

from bitparity.errors import BitparityError
from bitparity.registry import engine_names, get_engine

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("nightly", deadline=None, max_examples=2_000, print_blob=True)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """One line an engine: what tests of it will run against, or why they will be skipped."""
    return [f"engine {name}: {_describe(name)}" for name in engine_names()]


def _describe(name: str) -> str:
    try:
        available = get_engine(name).availability()
    except BitparityError as error:
        return str(error)
    return available.what if available.found else f"not found: {available.what}; {available.advice}"
