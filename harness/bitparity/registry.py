"""Find engines by name, in whatever package announces them, and make their choices.

A stranger's engine is a class with the methods of `bitparity.engine.Engine`, announced in its own package:

    [project.entry-points."bitparity.engines"]
    my-engine = "my_package.engine:MyEngine"

It is run in worker processes (engines/python.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

from bitparity.engine import Configurable, Engine
from bitparity.engines.python import Announced, PythonEngine
from bitparity.errors import BadInput

ENTRY_POINT_GROUP = "bitparity.engines"
_OURS = "bitparity"  # the distribution
DEFAULT_CANDIDATE = "native"
# choice, which is also its option -> what one of its names is called
CHOICES = {"kernels": "kernel set", "arithmetic": "arithmetic"}


def engine_names() -> list[str]:
    """Names of all engines that any installed package announces, sorted."""
    return sorted({e.name for e in entry_points(group=ENTRY_POINT_GROUP)})


def get_engine(name: str) -> Engine:
    """Return the engine of that name.

    Raises BadInput when none is announced, and EngineUnavailable when one of ours cannot be imported.  An
    engine of another package is imported later, in its worker process.
    """
    found = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not found:
        raise BadInput(f"no engine is named {name!r}; there are {', '.join(engine_names())}")
    announced = Announced(name, _version(found[0]), found[0])
    engine: Engine = announced.make() if _is_ours(found[0]) else PythonEngine(announced)
    return engine


def resolve_reference(name: str, *, bitnet_cpp_is_set: bool) -> str:
    """Turn `auto` into a name: bitnet.cpp when BITNET_CPP_DIR is set, else llama.cpp."""
    if name != "auto":
        return name
    return "bitnet.cpp" if bitnet_cpp_is_set else "llama.cpp"


def configure(engine: Engine, **chosen: str | None) -> Engine:
    """The engine with these names of `CHOICES` chosen; None leaves a choice as it is.

    Raises BadInput when the engine has no such choice, or no such name for it on this machine.
    """
    said = {choice: name for choice, name in chosen.items() if name is not None}
    for choice, name in said.items():
        names, word = _choices_of(engine).get(choice), CHOICES[choice]
        if names is None:
            raise BadInput(f"{engine.name} has no {word}s to choose from; leave out --{choice} {name}")
        if name not in ("auto", *names):
            raise BadInput(f"{engine.name} has no {word} {name!r} here; there are {', '.join(names)}")
    return engine.configured(**said) if said and isinstance(engine, Configurable) else engine


def configure_each(engines: Sequence[Engine], **chosen: str | None) -> list[Engine]:
    """Configure the engines that have these choices, and leave the others as they are.

    Raises BadInput as `configure` does, and when no engine has a choice that was made.
    """
    for choice, name in chosen.items():
        if name is not None and not any(choice in _choices_of(engine) for engine in engines):
            named = ", ".join(engine.name for engine in engines)
            raise BadInput(f"no engine here ({named}) has {CHOICES[choice]}s; leave out --{choice} {name}")
    return [_configure_what_it_has(engine, chosen) for engine in engines]


def with_every_kernel_set(engine: Engine) -> dict[str, Engine]:
    """The engine once for each kernel set that runs here, by names like native/avx2; by its own if it has
    none."""
    sets = _choices_of(engine).get("kernels", ())
    every = {f"{engine.name}/{name}": configure(engine, kernels=name) for name in sets}
    return every or {engine.name: engine}


def _is_ours(point: EntryPoint) -> bool:
    """Whether the engine is bitparity's own, which runs in this process or starts its own worker."""
    return point.dist is not None and point.dist.name == _OURS


def _version(point: EntryPoint) -> str:
    return "" if point.dist is None else point.dist.version


def _configure_what_it_has(engine: Engine, chosen: Mapping[str, str | None]) -> Engine:
    choices = _choices_of(engine)
    return configure(engine, **{choice: name for choice, name in chosen.items() if choice in choices})


def _choices_of(engine: Engine) -> Mapping[str, Sequence[str]]:
    return engine.choices() if isinstance(engine, Configurable) else {}
