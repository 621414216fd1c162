"""What every command that runs an engine has in common."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from bitparity import runs


def test_digest_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    for content in (b"one", b"two"):
        file.write_bytes(content)
        assert runs.file_digest(file) == blake3(content).hexdigest()


def test_digest_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"same")
    digest = runs.file_digest(file)
    monkeypatch.setattr(runs, "blake3", None)
    assert runs.file_digest(file) == digest
