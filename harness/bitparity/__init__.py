"""bitparity: cross-validation of BitNet b1.58 inference engines.

What may be imported is imported from here; what lies behind may change without notice.

    from bitparity import Comparison, Prompt, Side, compare_engines, open_engine, open_model, read_settings

    model = open_model("model.gguf")
    result = compare_engines(
        Comparison(
            reference=Side(open_engine("llama.cpp"), model),
            candidate=Side(open_engine("native"), model),
            prompts=[Prompt(text="The capital of France is")],
            settings=read_settings(),
        )
    )
    print(result.verdict, result.to_frame())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitparity.compare.chunking import Chunking as Chunking
    from bitparity.compare.comparison import Comparison as Comparison
    from bitparity.compare.comparison import Side as Side
    from bitparity.compare.prompts import Prompt as Prompt
    from bitparity.compare.result import ComparisonResult as ComparisonResult
    from bitparity.compare.result import read_result as read_result
    from bitparity.compare.run import compare_engines as compare_engines
    from bitparity.engine import Availability as Availability
    from bitparity.engine import Configurable as Configurable
    from bitparity.engine import Engine as Engine
    from bitparity.engine import Fingerprint as Fingerprint
    from bitparity.engine import FollowsReference as FollowsReference
    from bitparity.engine import ModelInfo as ModelInfo
    from bitparity.engine import Perturbable as Perturbable
    from bitparity.engine import Session as Session
    from bitparity.engine import StageValue as StageValue
    from bitparity.engines.ways import open_engine as open_engine
    from bitparity.errors import BadInput as BadInput
    from bitparity.errors import BitparityError as BitparityError
    from bitparity.errors import CannotTokenize as CannotTokenize
    from bitparity.errors import EngineFailed as EngineFailed
    from bitparity.errors import EngineUnavailable as EngineUnavailable
    from bitparity.errors import NotCompared as NotCompared
    from bitparity.errors import ShapeError as ShapeError
    from bitparity.errors import TokenMismatch as TokenMismatch
    from bitparity.formats import FORMATS as FORMATS
    from bitparity.formats import get_format as get_format
    from bitparity.formats.base import WeightFormat as WeightFormat
    from bitparity.model import Model as Model
    from bitparity.model import open_model as open_model
    from bitparity.noise.verdict import Verdict as Verdict
    from bitparity.registry import engine_names as engine_names
    from bitparity.runs import open_session as open_session
    from bitparity.settings import Settings as Settings
    from bitparity.settings import read_settings as read_settings
    from bitparity.stages import StageFilter as StageFilter
    from bitparity.streaming import StreamedToken as StreamedToken
    from bitparity.streaming import stream as stream
    from bitparity.tokenizer import Tokenizer as Tokenizer
    from bitparity.trace import Trace as Trace
    from bitparity.trace import TraceWriter as TraceWriter
    from bitparity.trace import read_trace as read_trace

# The same for Python, which imports a module when one of its names is asked for.
_NAMES = {
    "compare.chunking": ("Chunking",),
    "compare.comparison": ("Comparison", "Side"),
    "compare.prompts": ("Prompt",),
    "compare.result": ("ComparisonResult", "read_result"),
    "compare.run": ("compare_engines",),
    "engine": (
        "Availability",
        "Configurable",
        "Engine",
        "Fingerprint",
        "FollowsReference",
        "ModelInfo",
        "Perturbable",
        "Session",
        "StageValue",
    ),
    "engines.ways": ("open_engine",),
    "errors": (
        "BadInput",
        "BitparityError",
        "CannotTokenize",
        "EngineFailed",
        "EngineUnavailable",
        "NotCompared",
        "ShapeError",
        "TokenMismatch",
    ),
    "formats": ("FORMATS", "get_format"),
    "formats.base": ("WeightFormat",),
    "model": ("Model", "open_model"),
    "noise.verdict": ("Verdict",),
    "registry": ("engine_names",),
    "runs": ("open_session",),
    "settings": ("Settings", "read_settings"),
    "stages": ("StageFilter",),
    "streaming": ("StreamedToken", "stream"),
    "tokenizer": ("Tokenizer",),
    "trace": ("Trace", "TraceWriter", "read_trace"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"bitparity has no {name!r}")
    return getattr(import_module(f"bitparity.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
