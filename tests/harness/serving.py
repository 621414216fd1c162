"""A small server that speaks as llama-server or as OpenAI's completions do, from logits that it is given."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np

from bitparity.engine import Floats

Row = Callable[[Sequence[int]], Floats]  # token ids -> the logits after them


def top(row: Floats, k: int) -> list[tuple[int, float]]:
    values = row.astype(np.float64)
    values -= values.max() + np.log(np.exp(values - values.max()).sum())
    return [(int(i), float(np.float32(values[i]))) for i in np.argsort(-values)[:k]]


def llama_server(path: str, request: dict[str, Any], row: Row) -> Any:
    """As tools/server of llama.cpp answers (July 2026), shortened."""
    if path == "/props":
        return {"default_generation_settings": {"n_ctx": 64}, "build_info": "b9999-abc"}
    if path == "/tokenize":
        return {"tokens": [7, *map(ord, request["content"])]}
    if path == "/detokenize":
        return {"content": "".join(map(chr, request["tokens"]))}
    if path == "/completion":
        assert request["n_predict"] == 1
        best = top(row(request["prompt"]), request["n_probs"])
        named = [{"id": i, "token": "x", "bytes": [120], "logprob": p} for i, p in best]
        first = {**named[0], "top_logprobs": named}
        return {"content": "x", "tokens": [], "completion_probabilities": [first]}
    return None


def completions(path: str, request: dict[str, Any], row: Row) -> Any:
    """As vLLM answers when it is asked for ids."""
    if path == "/v1/models":
        return {"object": "list", "data": [{"id": "tiny"}]}
    if path == "/v1/completions":
        assert request["return_tokens_as_token_ids"]
        named = {f"token_id:{i}": p for i, p in top(row(request["prompt"]), request["logprobs"])}
        return {"choices": [{"text": "x", "logprobs": {"top_logprobs": [named]}}]}
    return None


def text_completions(path: str, request: dict[str, Any], row: Row) -> Any:
    """As OpenAI answers: tokens are named by their text."""
    if path == "/v1/completions":
        return {"choices": [{"logprobs": {"top_logprobs": [{" the": -0.5}]}}]}
    return completions(path, request, row)


@contextmanager
def serving(protocol: Callable[[str, dict[str, Any], Row], Any], row: Row) -> Iterator[str]:
    """Serve while active; yields the address.  Where `protocol` has no answer it is 404, a ValueError 400."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, request: dict[str, Any]) -> None:
            try:
                value = protocol(self.path, request, row)
                code = 404 if value is None else 200
            except ValueError as error:
                code, value = 400, {"error": {"message": str(error)}}
            data = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Tests are silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
