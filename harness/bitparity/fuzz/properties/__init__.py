"""The contracts that are searched for counterexamples: one function a property, one file a group."""

from bitparity.fuzz.properties import formats as formats
from bitparity.fuzz.properties import kernels as kernels
from bitparity.fuzz.properties import sessions as sessions
from bitparity.fuzz.properties.base import PROPERTIES as PROPERTIES
from bitparity.fuzz.properties.base import Property as Property
