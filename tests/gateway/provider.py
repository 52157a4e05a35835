"""A small OpenID provider on a real port: discovery, keys, and tokens of whatever kind."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote_plus, urlencode

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from agents.gateway.issuer import DISCOVERY
from agents.gateway.tokens import Terms

AUDIENCE = "headroom"
CLIENT, SECRET = "headroom-console", "s3cret & more"
ROLES = {"credit-managers": "manager", "credit": "controller", "shop": "order-system"}
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"})
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SecurityWarning)
    SHORT = RSAKey.generate_key(1024, {"kid": "short", "use": "sig", "alg": "RS256"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
EDWARDS = OKPKey.generate_key("Ed25519", {"kid": "edwards"})


class Provider:
    """Its keys and its manners can be changed while it runs."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}/realms/firm"
        self.keys: list[Key] = [RSA]
        self.answers: dict[str, tuple[int, bytes]] = {}
        """By path, in the place of the usual ones."""
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.identity: dict[str, Any] = {}
        self.access: dict[str, Any] = {}
        """What the tokens say of who signs in, beside or in place of the usual."""
        self.odd: dict[str, Any] = {}
        """The same for the answer that has them."""
        self.clock = time.time
        self.is_asked = threading.Event()
        self.goes_on = threading.Event()
        """Questions wait for it."""
        self.goes_on.set()

    @property
    def terms(self) -> Terms:
        return Terms(self.issuer, AUDIENCE, "realm_access.roles", "preferred_username", ROLES)

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        self.is_asked.set()
        self.goes_on.wait(30)
        if path in self.answers:
            return self.answers[path]
        if path == "/realms/firm" + DISCOVERY:
            found: Any = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
            found |= {
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
            }
        elif path.startswith("/realms/firm/auth?"):
            return 302, self.sign_in(self.issuer.removesuffix("/realms/firm") + path).encode()
        elif path == "/realms/firm/keys":
            found = {"keys": [key.as_dict(private=False) for key in self.keys]}
        else:
            return 404, b""
        return 200, json.dumps(found).encode()

    def sign_in(self, url: str) -> str:
        """What a browser is sent to, as the provider sends it back once somebody signed in."""
        where, _, query = url.partition("?")
        assert where == f"{self.issuer}/auth"
        asked = dict(parse_qsl(query, strict_parsing=True))
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        given = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return f"{asked['redirect_uri']}?{given}"

    def token_answer(self, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        """Tokens for a code, once, for who began with it."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        secret = base64.b64encode(f"{quote_plus(CLIENT)}:{quote_plus(SECRET)}".encode()).decode()
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or asked["code_challenge"] != challenge
            or (asked["client_id"], asked["redirect_uri"])
            != (form["client_id"], form["redirect_uri"])
            or authorization != f"Basic {secret}"
        ):
            return 400, b'{"error": "invalid_grant"}'
        told = {"nonce": asked["nonce"], "aud": asked["client_id"]} | self.identity
        answer: dict[str, Any] = {
            "access_token": self.token(**self.access), "token_type": "Bearer",
            "id_token": self.token(**told),
        }  # fmt: skip
        return 200, json.dumps(answer | self.odd).encode()

    def claims(self, *roles: str, **more: Any) -> dict[str, Any]:
        now = int(self.clock())
        return {
            "iss": self.issuer, "aud": [AUDIENCE, "account"], "sub": "0d3c-77", "iat": now,
            "exp": now + 300, "preferred_username": "anna",
            "realm_access": {"roles": list(roles or ("credit-managers", "offline_access"))},
        } | more  # fmt: skip

    def token(
        self, key: Key = RSA, header: dict[str, Any] | None = None, *roles: str, **claims: Any
    ) -> str:
        head = {"alg": "RS256"} | ({"kid": key.kid} if key.kid else {}) | (header or {})
        said = {k: v for k, v in self.claims(*roles, **claims).items() if v is not None}
        algorithms = [head["alg"]]
        return jwt.encode(head, said, key, algorithms=algorithms)


def segment(value: Any) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextmanager
def provider() -> Iterator[Provider]:
    """One that runs as long as the context."""

    class Handler(BaseHTTPRequestHandler):
        one: ClassVar[Provider]

        def do_GET(self) -> None:
            self._send(*self.one.answer(self.path))

        def do_POST(self) -> None:
            self.one.asked.append(self.path)
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            shown = self.headers.get("Authorization", "")
            if self.path in self.one.answers:
                self._send(*self.one.answers[self.path])
            else:
                self._send(*self.one.token_answer(dict(parse_qsl(raw)), shown))

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if status in {301, 302}:
                self.send_header("Location", body.decode())
                body = b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.one = Provider(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Handler.one
    finally:
        Handler.one.goes_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
