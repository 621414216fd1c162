"""Packages that only some commands need, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bitparity.errors import BadInput


def require(module: str, extra: str) -> Any:
    """The module, which the extra of that name installs; raises BadInput with what to type without it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise BadInput(
            f"this needs {package}, which is not installed ({error}); type pip install 'bitparity[{extra}]'"
        ) from None
