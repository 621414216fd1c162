"""Write the pre-tokenizers as a C++ table: `python pre_tokenizers.py OUTPUT.cpp`.

The build runs it with PYTHONPATH=harness and no package but Python itself, so the module is loaded by its
file: its package imports `tokenizers`.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def pre_tokenizers_module() -> ModuleType:
    package = find_spec("bitparity")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "tokenizer" / "pre_tokenizers.py"
    spec = spec_from_file_location("pre_tokenizers", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def table() -> str:
    module = pre_tokenizers_module()
    rows = "\n".join(row(name, pre) for name, pre in module.PRE_TOKENIZERS.items())
    return f"""// Made by native/generate/pre_tokenizers.py from bitparity.tokenizer.pre_tokenizers.
#include "library/pre_tokenizers.hpp"

namespace bitnet::library {{

std::span<const PreTokenizerRow> pre_tokenizers() {{
    static const std::vector<PreTokenizerRow> table{{
{rows}
    }};
    return table;
}}

std::string_view missing_pre_tokenizer() {{ return "{module.MISSING}"; }}

}}  // namespace bitnet::library
"""


def row(name: str, pre: object) -> str:
    patterns: tuple[str, ...] = pre.patterns  # type: ignore[attr-defined]
    raw = ", ".join(f'R"~({pattern})~"' for pattern in patterns)
    flags = ", ".join(str(flag).lower() for flag in (pre.ignore_merges, pre.add_bos))  # type: ignore[attr-defined]
    return f'        {{"{name}", {{{raw}}}, {flags}}},'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
