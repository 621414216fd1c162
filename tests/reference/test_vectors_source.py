"""The recorded vectors are still what the defining programs answer."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from bitparity.fuzz.implementations import find_implementations
from bitparity.pytest_plugin import missing_reference
from bitparity.settings import read_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recorder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record_vectors", ROOT / "tools" / "record_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("llama_cpp", "bitnet_cpp")
def test_defining_programs_still_give_the_recorded_answers(
    recorder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    found, _ = find_implementations(read_settings())
    names = {implementation.name for implementation in found}
    for implementation in found:
        implementation.close()
    if "bitnet.cpp converter" not in names:
        missing_reference(pytestconfig, "bitnet.cpp", "BITNET_CPP_DIR names a tree without its converter")
    monkeypatch.setattr(recorder, "TARGET", tmp_path / "vectors.json")
    recorder.main()
    recorded = json.loads((ROOT / "tests" / "vectors" / "vectors.json").read_text())
    assert json.loads((tmp_path / "vectors.json").read_text()) == recorded
