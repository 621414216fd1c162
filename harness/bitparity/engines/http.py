"""Requests and answers in JSON over HTTP; whatever goes wrong is the engine's failure, in one sentence."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from bitparity.errors import EngineFailed

_QUOTED = 120  # characters of an answer that is wrong


class Http:
    """One server.

    name        for messages
    base        scheme, host, port, and a path that requests begin with
    time_limit  seconds without any sign of life

    No proxy is used, and no redirection is followed to another place: prompts go where the user said.
    """

    def __init__(self, name: str, base: str, time_limit: float) -> None:
        self.name, self._base, self._time_limit = name, base, time_limit
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirection())

    def get(self, path: str) -> dict[str, Any] | None:
        """The object there; None when the server has nothing there."""
        try:
            return self._object(urllib.request.Request(self._base + path))
        except urllib.error.HTTPError as error:
            error.close()
            return None

    def post(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        data, headers = json.dumps(request).encode(), {"Content-Type": "application/json"}
        try:
            return self._object(urllib.request.Request(self._base + path, data, headers))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(_QUOTED).decode(errors="replace")
            raise EngineFailed(self.name, f"answered {path} with {error.code}", said) from None

    def found(self, answer: Any, *path: str | int) -> Any:
        """What lies in an answer under these keys; raises EngineFailed when it is not there."""
        value = answer
        for key in path:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                where = ".".join(map(str, path))
                said = json.dumps(answer)[:_QUOTED]
                raise EngineFailed(self.name, f"gave an answer without {where}: {said}") from None
        return value

    def _object(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with self._opener.open(request, timeout=self._time_limit) as answer:
                data = answer.read()
        except urllib.error.HTTPError:
            raise
        except TimeoutError:
            raise EngineFailed(self.name, f"gave no answer in {self._time_limit:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            if isinstance(why, TimeoutError):
                raise EngineFailed(self.name, f"gave no answer in {self._time_limit:g} s") from None
            raise EngineFailed(self.name, f"cannot be reached or closed the connection: {why}") from None
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            said = data[:_QUOTED].decode(errors="replace")
            raise EngineFailed(self.name, f"answered something other than a JSON object: {said!r}")
        return value


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
