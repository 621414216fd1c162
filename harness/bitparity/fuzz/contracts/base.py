"""What a contract is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bitparity.fuzz.implementations import Implementation, Operation

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Group = Literal["formats", "kernels", "sessions"]
Check = Callable[[Any, str, Implementation], None]
Applies = Callable[[Implementation], bool]


@dataclass(frozen=True)
class Contract:
    """A promise, checked on one case for one format and one implementation.

    cases   format -> strategy
    check   raises Violation (or whatever the implementation raises) when the contract is broken
    applies which implementations make this promise
    """

    name: str
    group: Group
    operations: tuple[Operation, ...]
    formats: tuple[str, ...]
    cases: Callable[[str], SearchStrategy[Any]]
    check: Check
    applies: Applies

    @property
    def words(self) -> str:
        return " ".join((self.check.__doc__ or "").split())


CONTRACTS: dict[str, Contract] = {}


def is_another(implementation: Implementation) -> bool:
    """Everything but the definition, which would be compared with itself."""
    return implementation.name != "numpy"


def everyone(implementation: Implementation) -> bool:
    return True


def promises_to_refuse(implementation: Implementation) -> bool:
    return implementation.refuses


def in_process(implementation: Implementation) -> bool:
    return implementation.in_process


def writes_memory(implementation: Implementation) -> bool:
    return implementation.writes_memory


def contract(
    group: Group,
    operations: tuple[Operation, ...],
    formats: tuple[str, ...],
    cases: Callable[[str], SearchStrategy[Any]],
    applies: Applies = everyone,
) -> Callable[[Check], Check]:
    """Register a check under its own name; its docstring is the words of the contract."""

    def register(check: Check) -> Check:
        name = check.__name__
        CONTRACTS[name] = Contract(name, group, operations, formats, cases, check, applies)
        return check

    return register
