"""Every way a run can fail, and the exit code of each.

Messages say where, what was needed, what came and what to do, in one sentence; the command line prints them
without a traceback.
"""

from __future__ import annotations

INTERNAL_FAILURE = 70  # exit code of bitparity's own bugs, EX_SOFTWARE of sysexits.h; never a verdict


class BitparityError(Exception):
    """Base of all errors that the harness raises on purpose."""

    exit_code = 2


class BadInput(BitparityError):
    """Bad use or a bad file: not GGUF, truncated, an unknown stage, a token outside the vocabulary."""


class ShapeError(BadInput):
    """An array or tensor whose shape does not fit."""


class CannotTokenize(BadInput):
    """An engine that has no tokenizer was given text."""


class TokenMismatch(BitparityError):
    """The engines do not tokenize the text to the same ids; nothing was run on it."""

    exit_code = 3


class NotCompared(BitparityError):
    """The reference is missing, or fewer positions than asked were compared."""

    exit_code = 4


class EngineUnavailable(NotCompared):
    """The engine is not installed or not built; the message says what to type."""


class EngineFailed(BitparityError):
    """An engine crashed, aborted, hung, or raised something other than a BitparityError.

    engine      its name
    how         one clause: "aborted (SIGABRT)", "gave no answer in 600 s"
    last_words  the end of what it wrote to stderr, may be empty
    """

    exit_code = 5

    def __init__(self, engine: str, how: str, last_words: str = "") -> None:
        self.engine, self.how, self.last_words = engine, how, last_words.strip()
        super().__init__(
            f"{engine} {how}" + (f"; its last words: {self.last_words}" if self.last_words else "")
        )

    @classmethod
    def raised(cls, engine: str, error: Exception) -> EngineFailed:
        """The failure of an engine that raised this."""
        return cls(engine, f"raised {type(error).__name__}", " | ".join(str(error).splitlines()))

    def __reduce__(self) -> tuple[type[EngineFailed], tuple[str, str, str]]:
        return type(self), (self.engine, self.how, self.last_words)
