"""A program as an engine, spoken to over a pipe: program.md says how."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.engine import Availability, Fingerprint, Floats, Role
from bitparity.engines.forward import ForwardSession
from bitparity.engines.loaded import digests
from bitparity.engines.model_facts import model_facts
from bitparity.engines.pipes import Pipes
from bitparity.errors import BadInput, EngineFailed
from bitparity.model.types import Model
from bitparity.stage_map import StageMap
from bitparity.worker.process import EngineProcess
from bitparity.worker.shared_memory import new_memory
from bitparity.worker.worker import LEAST_TO_START, TIME_LIMIT

PREFIX = "exec:"
_QUOTED = 80  # characters of an answer that is wrong
Hear = Callable[[str, int, int, Floats], None]


class ProgramEngine:
    """Starts the program anew for every session.

    given       exec: and the command line; the engine has the name of the program's file, unless the program
                says another

    Raises BadInput for an empty command line.
    """

    role: Role = "candidate"

    def __init__(self, given: str) -> None:
        self._command = shlex.split(given.removeprefix(PREFIX))
        if not self._command:
            raise BadInput(f"{given!r} names no program; write for example 'exec:./engine --flags'")
        self.given, self._time_limit = given, TIME_LIMIT
        self._model: Model | None = None
        self._stage_map = StageMap()
        self.name = Path(self._command[0]).stem

    def availability(self) -> Availability:
        return Availability(True, f"the program {shlex.join(self._command)}")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        """A program says what it cannot run when it opens it."""
        return None

    def with_time_limit(self, seconds: float) -> ProgramEngine:
        """As bitparity.engine.TimeLimited says."""
        limited = copy(self)
        limited._time_limit = seconds
        return limited

    def informed_of(self, model: Model) -> ProgramEngine:
        """As bitparity.engine.Informed says."""
        informed = copy(self)
        informed._model = model
        return informed

    def with_stage_map(self, stage_map: StageMap) -> ProgramEngine:
        """As bitparity.engine.NamesStages says."""
        mapped = copy(self)
        mapped._stage_map = stage_map
        return mapped

    def open(
        self, model: Path, *, context: int, threads: int, device_id: int | None = None
    ) -> ProgramSession:
        details = {"command": shlex.join(self._command), "libraries": _digests(self._command)}
        fingerprint = Fingerprint(self.name, "", "", "", "", threads, "", details)
        info = model_facts(model, self._model, context, fingerprint)
        program = Program(self.name, self._command, self._time_limit)
        request = {"open": str(model), "context": context, "threads": threads, "device": device_id}
        try:
            return ProgramSession(program.opened(request), info, self._stage_map)
        except BaseException:
            program.close()
            raise


class ProgramSession(ForwardSession):
    """A session of a program; its process is that of the program."""

    @property
    def process_id(self) -> int:
        pid: int = self._core.process_id
        return pid


class Program:
    """A `bitparity.engines.forward.Forward` over the pipe; what the program cannot do is None here.

    Every method may raise EngineFailed, and does so for good once the program is gone or said what nobody
    understands.
    """

    def __init__(self, name: str, command: Sequence[str], time_limit: float) -> None:
        self._name, self._time_limit = name, time_limit
        self.n_vocab, self._said_of_itself = 0, dict[str, str]()
        self._hear: Hear | None = None
        self._failure: EngineFailed | None = None
        try:
            self._process = _PipedProcess(command)
        except OSError as error:
            raise BadInput(f"{command[0]} cannot be started: {error.strerror}") from None

    @property
    def process_id(self) -> int:
        return self._process.pid

    def opened(self, request: dict[str, Any]) -> Program:
        """The same program with its model open; BadInput has its own reason when it opens none."""
        answer = self._ask(request, max(self._time_limit, LEAST_TO_START))
        if "error" in answer:
            raise BadInput(f"{self._name} cannot open {request['open']}: {answer['error']}")
        self.n_vocab = self._whole_number(answer, "n_vocab", 1)
        can = self._field({"can": ["forward"], **answer}, "can", list)
        about = self._field({"about": {}, **answer}, "about", dict)
        for method in ("forward", "forward_last", "tokenize", "detokenize", "tap"):
            setattr(self, method, getattr(self, f"_{method}") if method in can else None)
        self._said_of_itself = {str(key): str(value) for key, value in about.items()}
        return self

    def about(self) -> dict[str, str]:
        return self._said_of_itself

    def close(self) -> None:
        """End it; harmless when it is gone.  Raises EngineFailed when it crashes then."""
        self._process.pipes.close()
        crash = words = ""
        if self._failure is None and (crash := self._process.how_it_crashed()):
            words = self._process.last_words()
        self._process.close()
        self._failure = self._failure or EngineFailed(self._name, crash or "is closed", words)
        if crash:
            raise self._failure

    def _forward(self, ids: Sequence[int], position: int) -> Floats:
        return self._logits({"forward": list(ids), "position": position, "logits": "all"})

    def _forward_last(self, ids: Sequence[int], position: int) -> Floats:
        return self._logits({"forward": list(ids), "position": position, "logits": "last"})

    def _tokenize(self, text: str, add_bos: bool, parse_special: bool) -> list[int]:
        request = {"tokenize": text, "add_bos": add_bos, "parse_special": parse_special}
        return [int(token) for token in self._field(self._called(request), "ids", list)]

    def _detokenize(self, ids: Sequence[int]) -> str:
        return str(self._field(self._called({"detokenize": list(ids)}), "text", str))

    def _tap(self, hear: Hear | None) -> None:
        self._hear = hear

    def _logits(self, request: dict[str, Any]) -> Floats:
        rows = len(request["forward"]) if request["logits"] == "all" else 1
        if self._hear is not None:
            request = {**request, "tap": True}
        answer = self._called(request)
        if (got := self._whole_number(answer, "rows", 0)) != rows:
            raise self._failed(f"announced {got} rows of logits where {rows} are needed")
        return self._values((rows, self.n_vocab))

    def _called(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer, which is no error; stages that come before it are heard."""
        answer = self._ask(request, self._time_limit)
        while "stage" in answer:
            self._hear_stage(answer)
            answer = self._guarded(self._read_answer, self._time_limit)
        if "error" in answer:
            raise EngineFailed(self._name, "failed", " | ".join(str(answer["error"]).splitlines()))
        return answer

    def _hear_stage(self, said: dict[str, Any]) -> None:
        shape = self._field(said, "shape", list)
        if len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape):
            raise self._not_understood(json.dumps(said))
        values = self._values((shape[0], shape[1]))
        if self._hear is not None:
            layer, position = self._whole_number(said, "layer", -1), self._whole_number(said, "position", 0)
            self._hear(str(said["stage"]), layer, position, values)

    def _values(self, shape: tuple[int, int]) -> Floats:
        memory = new_memory(4 * math.prod(shape))
        self._guarded(
            lambda limit: self._process.pipes.read_into(memoryview(memory), limit), self._time_limit
        )
        return np.ndarray(shape, "<f4", buffer=memory).astype(np.float32, copy=False)

    def _ask(self, request: dict[str, Any], time_limit: float) -> dict[str, Any]:
        line = json.dumps(request).encode() + b"\n"
        self._guarded(lambda limit: self._process.pipes.write(line, limit), time_limit)
        answer: dict[str, Any] = self._guarded(self._read_answer, time_limit)
        return answer

    def _read_answer(self, time_limit: float) -> dict[str, Any]:
        line = self._process.pipes.read_line(time_limit)
        try:
            answer = json.loads(line)
        except ValueError:  # a UnicodeDecodeError is one
            answer = None
        if not isinstance(answer, dict):
            raise self._not_understood(line.decode(errors="replace"))
        return answer

    def _guarded(self, work: Callable[[float], Any], time_limit: float) -> Any:
        """Do something with the pipe; whatever becomes of the program is its failure."""
        if self._failure is not None:
            raise self._failure
        try:
            return work(time_limit)
        except TimeoutError:
            raise self._failed(f"gave no answer in {time_limit:g} s") from None
        except (EOFError, OSError):
            raise self._failed(self._process.how_it_ended()) from None
        except (KeyboardInterrupt, SystemExit):
            self._failed("was interrupted")  # an answer is still under way
            raise

    def _failed(self, how: str) -> EngineFailed:
        self._process.kill()
        self._process.how_it_ended()
        self._failure = EngineFailed(self._name, how, self._process.last_words())
        return self._failure

    def _not_understood(self, said: str) -> EngineFailed:
        quoted = said if len(said) <= _QUOTED else said[:_QUOTED] + "…"
        return self._failed(f"answered {quoted!r}, which is not as program.md says")

    def _field(self, answer: dict[str, Any], key: str, kind: type) -> Any:
        if not isinstance(answer.get(key), kind):
            raise self._not_understood(json.dumps(answer))
        return answer[key]

    def _whole_number(self, answer: dict[str, Any], key: str, least: int) -> int:
        value: int = self._field(answer, key, int)
        if value < least:
            raise self._not_understood(json.dumps(answer))
        return value


class _PipedProcess(EngineProcess):
    def __init__(self, command: Sequence[str]) -> None:
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pipes = Pipes(self._process.stdin, self._process.stdout, self.end)


def _digests(command: Sequence[str]) -> str:
    """Of the program and of the files that its words name, which tell one build from another."""
    program = shutil.which(command[0])
    named = [*([] if program is None else [program]), *command[1:]]
    return digests({Path(word) for word in named if os.path.isfile(word)})
