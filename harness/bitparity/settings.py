"""Environment variables, read here and nowhere else; settings travel on as arguments.

| variable | meaning |
|---|---|
| BITNET_CPP_DIR | root of a built bitnet.cpp tree |
| BITNET_TRACE_DIR | compare, run and trace record every stage into this folder |
| BITNET_DETERMINISTIC=1 | one thread in every engine |
| BITNET_SEED | seed of everything that draws random numbers (default 0) |
| BITNET_DEBUG_LOGITS=1 | say which weight mapping is used and check it |
| BITPARITY_CACHE_DIR | where compiled bridges and derived models are kept |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from bitparity.errors import BadInput
from bitparity.processors import usable_processors


@dataclass(frozen=True)
class Settings:
    bitnet_cpp_dir: Path | None
    trace_dir: Path | None
    deterministic: bool
    seed: int
    debug_logits: bool
    cache_dir: Path

    @property
    def threads(self) -> int:
        """Default number of threads of an engine."""
        return 1 if self.deterministic else usable_processors()


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the table above from the environment (or from a mapping, in tests).

    An empty BITNET_CPP_DIR counts as unset; an empty BITNET_TRACE_DIR too.
    """
    env = os.environ if environment is None else environment
    return Settings(
        bitnet_cpp_dir=_path(env, "BITNET_CPP_DIR"),
        trace_dir=_path(env, "BITNET_TRACE_DIR"),
        deterministic=env.get("BITNET_DETERMINISTIC", "0") == "1",
        seed=_integer(env, "BITNET_SEED", 0),
        debug_logits=env.get("BITNET_DEBUG_LOGITS", "0") == "1",
        cache_dir=_path(env, "BITPARITY_CACHE_DIR") or user_cache_path("bitparity"),
    )


def add_to_environment(variables: Mapping[str, str]) -> None:
    """Set environment variables of this process, for the engines that are opened after it."""
    os.environ.update(variables)


def _path(env: Mapping[str, str], name: str) -> Path | None:
    value = env.get(name, "")
    return Path(value).expanduser() if value else None


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name, str(default))
    try:
        return int(value)
    except ValueError:
        raise BadInput(f"{name} is {value!r}; it must be a whole number") from None
