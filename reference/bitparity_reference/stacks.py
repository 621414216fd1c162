"""Stacks large enough for bitnet.cpp.

It keeps the products of an I2_S matrix with up to 512 tokens on the stack of the thread that computes them
(ggml.c, ggml_compute_forward_mul_mat, `float tmp[...]`): 4 bytes for each row of the thread's share and each
token.  At the shape of 2B-4T one thread takes 14 MB, and from 304 tokens on it runs over the usual 8 MB.
"""

from __future__ import annotations

import ctypes
import threading

STACK = 64 << 20  # bytes; the widest published feed-forward has 23,040 rows, which takes 47 MB on one thread
_ATTRIBUTES = 256  # bytes; a pthread_attr_t has 56 on x86-64 and 64 on AArch64


def enlarge_stacks() -> None:
    """Let threads that this process starts from now on have STACK bytes, of which they use what they need.

    Those that a library starts are reached with the GNU C library only; elsewhere they stay as they are.
    """
    threading.stack_size(STACK)
    library = ctypes.CDLL(None)
    if hasattr(library, "pthread_setattr_default_np"):
        attributes = ctypes.create_string_buffer(_ATTRIBUTES)
        library.pthread_attr_init(attributes)
        library.pthread_attr_setstacksize(attributes, ctypes.c_size_t(STACK))
        library.pthread_setattr_default_np(attributes)
        library.pthread_attr_destroy(attributes)
