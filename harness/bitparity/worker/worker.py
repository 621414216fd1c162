"""An object in a process of its own, whose methods are called from here.

The parent sends (name, make, arguments) once, then (method, positional arguments, named arguments) for each
call.  The worker answers each with ("answer", (value, seconds, error)), after as many ("sent", value) as the
object wants to send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from bitparity.errors import EngineFailed
from bitparity.worker.channel import NoMessage
from bitparity.worker.process import WorkerProcess

TIME_LIMIT = 600.0
LEAST_TO_START = 60.0  # seconds; Python itself takes some on a busy machine

Send = Callable[[Any], None]


@runtime_checkable
class Sender(Protocol):
    """What an object in a worker may have besides: it sends values to the parent while it is called."""

    def connect(self, send: Send) -> None:
        """Called once, before any other method."""
        ...


class Worker:
    """Starts a process, makes an object there and waits until it is made.

    name          of the engine, for messages
    make          called in the worker with the arguments, returns the object; pickle must find it by its
                  module and name
    time_limit    seconds of silence within one call after which the worker is killed, though to start it has
                  a minute at least; may be changed
    hear          gets what the object sends during a call; None drops it.  What it raises, the call raises
    call_seconds  what the last call took in the worker (before any: making the object), transport not counted

    A worker ends when its parent does.  Raises what `make` raised.  Every call may raise EngineFailed, and
    does so for good once the worker is gone.
    """

    def __init__(
        self,
        name: str,
        make: Callable[..., Any],
        arguments: Mapping[str, Any],
        *,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._name, self.time_limit = name, time_limit
        self.hear: Send | None = None
        self.call_seconds = 0.0
        self.failure: EngineFailed | None = None
        self._process = WorkerProcess()
        try:
            self._ask((name, make, dict(arguments)), max(time_limit, LEAST_TO_START))
        except BaseException:
            self.close()
            raise

    @property
    def process_id(self) -> int:
        return self._process.pid

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the object; raises what it raised."""
        if self.failure is not None:
            raise self.failure
        return self._ask((method, arguments, options), self.time_limit)

    def close(self) -> None:
        """End the worker; harmless when it is gone."""
        self._process.close()
        self.failure = self.failure or EngineFailed(self._name, "is closed")

    def _ask(self, request: Any, time_limit: float) -> Any:
        try:
            self._process.send(request)
            (value, self.call_seconds, error), trouble = self._listen(time_limit)
        except TimeoutError:
            self._process.kill()
            raise self._failed(f"gave no answer in {time_limit:g} s") from None
        except (EOFError, OSError):
            raise self._failed() from None
        except NoMessage:
            self._process.kill()
            raise self._failed("wrote into files that it had not opened") from None
        except (KeyboardInterrupt, SystemExit):
            self._process.kill()  # an answer is still under way; nobody could tell it from the next one
            self.failure = EngineFailed(self._name, "was interrupted")
            raise
        if error is not None:
            raise error
        if trouble is not None:
            raise trouble
        return value

    def _listen(self, time_limit: float) -> tuple[Any, Exception | None]:
        """The answer, and what `hear` raised on the way."""
        trouble: Exception | None = None
        while True:
            kind, value = self._process.receive(time_limit)
            if kind == "answer":
                return value, trouble
            try:
                if self.hear is not None and trouble is None:
                    self.hear(value)
            except Exception as error:  # read on to the answer, so that the object stays usable
                trouble = error

    def _failed(self, how: str = "") -> EngineFailed:
        ended = self._process.how_it_ended()
        self.failure = EngineFailed(self._name, how or ended, self._process.last_words())
        return self.failure
