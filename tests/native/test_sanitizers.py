"""Errors planted on purpose are reported by the sanitizers of `make sanitize`, set up as for all tests.

A clean run of the other tests proves something only then.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

PLANTED = [
    ("address", "read_beyond_the_end", "AddressSanitizer: heap-buffer-overflow"),
    ("address", "read_after_free", "AddressSanitizer: heap-use-after-free"),
    ("address", "overflow_an_int", "runtime error: signed integer overflow"),
    ("address", "read_misaligned", "runtime error: load of misaligned address"),
    ("thread", "race", "ThreadSanitizer: data race"),
]


def need(sanitizer: str, wanted: str) -> None:
    if sanitizer != wanted:
        pytest.skip(f"this core was not built with the sanitizer {wanted}; `make sanitize` does both")


@pytest.mark.parametrize(("wanted", "function", "report"), PLANTED, ids=[name for _, name, _ in PLANTED])
def test_planted_error_is_reported(sanitizer: str, wanted: str, function: str, report: str) -> None:
    need(sanitizer, wanted)
    program = f"from bitparity_native import _planted_errors; _planted_errors.{function}()"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True)
    assert done.returncode != 0
    assert report in done.stderr


READ = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from guarded import Guarded
from bitparity_native import _planted_errors
guarded = Guarded()
array = guarded.copy(np.arange(21, dtype=np.uint8), offset=3)
print(_planted_errors.read_byte(array.ctypes.data + int(sys.argv[2])))
guarded.check()
"""


@pytest.mark.parametrize(
    ("offset", "is_inside"), [(-8, False), (0, True), (20, True), (21, False), (84, False)]
)
def test_guard_bytes_of_the_tests_may_not_even_be_read(sanitizer: str, offset: int, is_inside: bool) -> None:
    need(sanitizer, "address")
    here = __file__.rpartition("/")[0]
    command = [sys.executable, "-S", "-c", READ, here, str(offset)]
    done = subprocess.run(command, capture_output=True, text=True)
    if is_inside:
        assert (done.returncode, done.stdout.strip()) == (0, str(np.arange(21)[offset])), done.stderr
    else:
        assert done.returncode != 0
        assert "AddressSanitizer: use-after-poison" in done.stderr
