"""Find engines by name, in whatever package announces them.

A stranger's engine is a class with the methods of `bitparity.engine.Engine`, announced in its own package:

    [project.entry-points."bitparity.engines"]
    my-engine = "my_package.engine:MyEngine"
"""

from __future__ import annotations

from importlib.metadata import entry_points

from bitparity.engine import Engine
from bitparity.errors import BadInput, BitparityError, EngineUnavailable

ENTRY_POINT_GROUP = "bitparity.engines"
DEFAULT_CANDIDATE = "native"


def engine_names() -> list[str]:
    """Names of all engines that any installed package announces, sorted."""
    return sorted({e.name for e in entry_points(group=ENTRY_POINT_GROUP)})


def get_engine(name: str) -> Engine:
    """Return the engine of that name.

    Raises BadInput when none is announced, EngineUnavailable when it cannot load.
    """
    found = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not found:
        raise BadInput(f"no engine is named {name!r}; there are {', '.join(engine_names())}")
    try:
        engine: Engine = found[0].load()()
    except BitparityError:
        raise
    except Exception as error:
        raise EngineUnavailable(f"engine {name!r} cannot be loaded from {found[0].value}: {error}") from error
    return engine


def resolve_reference(name: str, *, bitnet_cpp_is_set: bool) -> str:
    """Turn `auto` into a name: bitnet.cpp when BITNET_CPP_DIR is set, else llama.cpp."""
    if name != "auto":
        return name
    return "bitnet.cpp" if bitnet_cpp_is_set else "llama.cpp"
