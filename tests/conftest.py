"""What every test shares: an environment without the user's BITNET_ settings."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """BITNET_CPP_DIR and the cache stay as they are: they say what can be tested, not how it behaves."""
    for name in ("BITNET_TRACE_DIR", "BITNET_DETERMINISTIC", "BITNET_SEED", "BITNET_DEBUG_LOGITS"):
        monkeypatch.delenv(name, raising=False)
