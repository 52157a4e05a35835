"""A service on the web that is given things once, however often it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import urllib3

from agents.notify.carriers import CarrierAwayError, RefusedError
from streams.logs import shown

_TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
_AGAIN_LATER = frozenset({408, 409, 425, 429})
_DETAIL = 300


class WebService:
    """What is behind a URL; a user and a password in it are sent as such."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._login: dict[str, str] = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._login = dict(urllib3.make_headers(basic_auth=login))
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def post(self, body: bytes, key: str, headers: Mapping[str, str]) -> str:
        """What the service answers; `key` is the same whenever it is the same thing.

        Raises `CarrierAwayError`, `RefusedError`.
        """
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={**self._login, **headers, "Idempotency-Key": key},
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise CarrierAwayError(f"the service cannot be reached: {shown(error)}") from error
        text = answer.data.decode(errors="replace").strip()[:_DETAIL]
        said = f"{answer.status} {text}".strip()
        if 200 <= answer.status < 300:  # noqa: PLR2004  success
            return said
        if answer.status >= 500 or answer.status in _AGAIN_LATER:  # noqa: PLR2004  its own fault
            raise CarrierAwayError(f"the service answers {answer.status}")
        raise RefusedError("failed", said, answer.status)

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()
