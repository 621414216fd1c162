"""ggml's abort starts gdb or lldb for a backtrace, which takes seconds and buries its last words."""

from __future__ import annotations

import os


def keep_debuggers_away() -> None:
    """Let ggml find no debugger from now on; for a worker process, which runs no other program."""
    os.environ["GGML_NO_BACKTRACE"] = "1"  # newer ggml
    os.environ["PATH"] = os.devnull  # older ggml has no such switch; it looks the debuggers up
