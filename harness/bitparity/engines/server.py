"""A server as an engine: llama-server, or completions as OpenAI has them, with token ids.

A server keeps its logits.  It gives the log-probabilities of the most probable tokens after a prompt, so
every position is one request with the ids up to there, and the comparison goes as far as what comes back.

    http://127.0.0.1:8080           llama-server, by POST /completion; else POST /v1/completions
    http://127.0.0.1:8080?top=100   so many tokens a position; 20 unless given
    remote:http://board:8080        a server on another machine, which then gets the prompts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import numpy as np

from bitparity.engine import Availability, Fingerprint, Floats, Role, Session
from bitparity.engines.forward import ForwardSession
from bitparity.engines.http import Http
from bitparity.engines.model_facts import model_facts
from bitparity.errors import BadInput, BitparityError, EngineFailed
from bitparity.model.types import Model
from bitparity.worker.worker import TIME_LIMIT

REMOTE = "remote:"
TOP = 20  # tokens a position: as many as servers like vLLM give unless they are told otherwise
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
TopTokens = list[tuple[int, float]]  # id, log-probability


def names_server(text: str) -> bool:
    """Whether a text is the address of a server."""
    return text.removeprefix(REMOTE).startswith(("http://", "https://"))


class ServerEngine:
    """Opens sessions of a server that runs already; the facts of its model are read from a file.

    Raises BadInput for an address on another machine without `remote:`, and for a number that is none.
    """

    role: Role = "candidate"

    def __init__(self, given: str, *, time_limit: float = TIME_LIMIT, model: Model | None = None) -> None:
        url = urlsplit(given.removeprefix(REMOTE))
        if not given.startswith(REMOTE) and url.hostname not in _LOOPBACK:
            raise BadInput(
                f"{given} is not on this machine; write {REMOTE}{given} if it may be sent the prompts"
            )
        self.given, self._time_limit, self._model = given, time_limit, model
        self._top = _positive(parse_qs(url.query).get("top", [str(TOP)])[-1], given)
        self._http = Http(url.netloc, f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}", time_limit)
        self.name = url.netloc

    def availability(self) -> Availability:
        try:
            return Availability(True, f"{protocol_of(self._http).what} at {self.given}")
        except BitparityError as error:
            return Availability(False, str(error), "start it, or correct the address")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        """Nobody can see which model a server runs."""
        return None

    def with_time_limit(self, seconds: float) -> ServerEngine:
        """As bitparity.engine.TimeLimited says."""
        return ServerEngine(self.given, time_limit=seconds, model=self._model)

    def informed_of(self, model: Model) -> ServerEngine:
        """As bitparity.engine.Informed says."""
        return ServerEngine(self.given, time_limit=self._time_limit, model=model)

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> Session:
        protocol = protocol_of(self._http)
        fingerprint = Fingerprint(self.name, protocol.version, "", "", "", 0, "", {"server": protocol.what})
        info = model_facts(model, self._model, context, fingerprint)
        top = min(self._top, info.n_vocab)
        core = _Conversation(self.name, protocol, info.n_vocab, top)
        return ForwardSession(core, replace(info, most_probable=top))


class Asking(Protocol):
    """How one kind of server is asked; it may also have `tokenize` and `detokenize`, as forward.Forward.

    what, version  for reports
    """

    what: str
    version: str

    def next_tokens(self, ids: Sequence[int], top: int) -> TopTokens:
        """The most probable tokens after these ids."""
        ...


class _Conversation:
    """A `bitparity.engines.forward.Forward`: the ids so far are sent with every request."""

    def __init__(self, name: str, protocol: Asking, n_vocab: int, top: int) -> None:
        self._name, self._protocol, self._top = name, protocol, top
        self.n_vocab = n_vocab
        self._ids: list[int] = []
        self.tokenize = getattr(protocol, "tokenize", None)
        self.detokenize = getattr(protocol, "detokenize", None)

    def forward_last(self, ids: Sequence[int], position: int) -> Floats:
        self._ids[position:] = ids
        row = np.full((1, self.n_vocab), -np.inf, np.float32)
        for token, log_probability in self._protocol.next_tokens(self._ids, self._top):
            if not 0 <= token < self.n_vocab:
                raise EngineFailed(self._name, f"names token {token}; the vocabulary has {self.n_vocab} ids")
            row[0, token] = log_probability
        return row

    def close(self) -> None:
        """Nothing to do: the server keeps running."""


class LlamaServer:
    """llama-server of llama.cpp. Source: tools/server/README.md, POST /completion, GET /props."""

    what = "llama-server"

    def __init__(self, http: Http, props: dict[str, Any]) -> None:
        self._http = http
        self.version = str(props.get("build_info", ""))

    def next_tokens(self, ids: Sequence[int], top: int) -> TopTokens:
        """One slot, whose cache it may keep; log-probabilities of the logits, before any sampler."""
        request: dict[str, Any] = {"prompt": list(ids), "n_predict": 1, "n_probs": top, "id_slot": 0}
        request |= {"temperature": -1.0, "cache_prompt": True, "post_sampling_probs": False}
        answer = self._http.post("/completion", request)
        entries = self._http.found(answer, "completion_probabilities", 0, "top_logprobs")
        return [(int(entry["id"]), float(entry["logprob"])) for entry in entries]

    def tokenize(self, text: str, add_bos: bool, parse_special: bool) -> list[int]:
        request = {"content": text, "add_special": add_bos, "parse_special": parse_special}
        return [int(token) for token in self._http.found(self._http.post("/tokenize", request), "tokens")]

    def detokenize(self, ids: Sequence[int]) -> str:
        return str(self._http.found(self._http.post("/detokenize", {"tokens": list(ids)}), "content"))


class Completions:
    """Completions as OpenAI has them, of a server that names tokens by their ids.

    vLLM does with return_tokens_as_token_ids, by "token_id:123"; others give an "id" with every token.
    """

    version = ""

    def __init__(self, http: Http, models: dict[str, Any]) -> None:
        self._http = http
        self._model = str(http.found(models, "data", 0, "id"))
        self.what = f"completions of {self._model}"

    def next_tokens(self, ids: Sequence[int], top: int) -> TopTokens:
        request = {"model": self._model, "prompt": list(ids), "max_tokens": 1, "temperature": 0.0}
        answer = self._http.post(
            "/v1/completions", request | {"logprobs": top, "return_tokens_as_token_ids": True}
        )
        logprobs = self._http.found(answer, "choices", 0, "logprobs")
        if "content" in logprobs:
            entries = self._http.found(logprobs, "content", 0, "top_logprobs")
            return [(self._id(entry.get("id")), float(entry["logprob"])) for entry in entries]
        named = self._http.found(logprobs, "top_logprobs", 0)
        return [(self._id(token), float(value)) for token, value in named.items()]

    def _id(self, token: object) -> int:
        digits = str(token).removeprefix("token_id:")
        if not digits.isdecimal() or (isinstance(token, str) and digits == token):
            raise EngineFailed(
                self._http.name, f"names tokens by their text ({token!r}), and ids are needed to compare"
            )
        return int(digits)


def protocol_of(http: Http) -> LlamaServer | Completions:
    """Ask a server what it is; raises EngineFailed when nothing answers, or what does is neither."""
    if (props := http.get("/props")) is not None and "default_generation_settings" in props:
        return LlamaServer(http, props)
    if (models := http.get("/v1/models")) is not None:
        return Completions(http, models)
    raise EngineFailed(http.name, "answers neither GET /props as llama-server does nor GET /v1/models")


def _positive(text: str, given: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(f"{given}: top={text} is no number of tokens; write for example ?top=100")
    return int(text)
