"""A browser without a screen: keeps cookies, follows nothing by itself."""

from __future__ import annotations

import re
from html import unescape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import urllib3

_HTTP = urllib3.PoolManager(retries=False)


class Answer:
    def __init__(self, raw: Any) -> None:
        self.status: int = raw.status
        self.headers = raw.headers
        self.text: str = raw.data.decode()

    @property
    def words(self) -> str:
        """The text without its marks."""
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.text)))


class Asking:
    """Somebody at a browser.

    Args:
        url: of the pages.
        key: with which they sign in, at once; None: nobody.
        headers: that come with every request.
    """

    def __init__(self, url: str, key: str | None = None, **headers: str) -> None:
        self.url = url
        self.headers = headers
        self.cookies: dict[str, str] = {}
        if key is not None:
            answer = self.sign_in(key)
            assert answer.status == 303, answer.words

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: Any = (), **headers: str) -> Answer:
        """Send a form with the token of the pages."""
        pairs = [*fields.items()] if isinstance(fields, dict) else [*fields]
        if not any(name == "token" for name, _ in pairs):
            pairs.append(("token", self.token))
        return self._ask("POST", path, urlencode(pairs).encode(), headers)

    def sign_in(self, key: str) -> Answer:
        page = self.get("/console/login")
        return self.post("/console/login", {"key": key, "token": _token(page.text)})

    @property
    def token(self) -> str:
        return _token(self.get("/console/customer?id=C-100").text)

    def _ask(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in (self.headers | headers).items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        raw = _HTTP.request(verb, self.url + path, body=body, headers=sent, redirect=False)
        for line in raw.headers.getlist("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return Answer(raw)


def _token(text: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', text)
    return "" if found is None else found[1]
