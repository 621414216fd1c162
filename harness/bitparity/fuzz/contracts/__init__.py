"""The contracts that are searched for counterexamples: one function a contract, one file a group."""

from bitparity.fuzz.contracts import formats as formats
from bitparity.fuzz.contracts import kernels as kernels
from bitparity.fuzz.contracts import sessions as sessions
from bitparity.fuzz.contracts.base import CONTRACTS as CONTRACTS
from bitparity.fuzz.contracts.base import Contract as Contract
