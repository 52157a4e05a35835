"""Who may ask for what: API keys, tokens of an identity provider, and the roles that they have.

A key is 32 random bytes, so its SHA-256 is as good as the key is long: who reads the file learns no
key, and nothing needs to be slow. A role stands for what its holder may do; decisions on amounts
(who may release how much) are the policy's, made where the order is decided.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import tomllib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agents.gateway.issuer import UNKNOWN_SIGNER, Issuer
from agents.gateway.problems import Problem, busy, unauthenticated
from agents.gateway.sign_in import PREFIX as SESSION
from agents.gateway.sign_in import SignIn
from agents.gateway.tokens import Holder, Terms, UnknownSignerError, parse_roles
from streams.errors import ConfigurationError
from streams.settings import Settings

_PREFIX = "hr_"
_KEY_BYTES = 32
_HASH_CHARACTERS = 64
_NAME_MAX = 100
_BURST_SECONDS = 1.0
_ID_CHARACTERS = 12
_PER_SECOND = 1000.0
"""Where an entry does not say, and for tokens."""


class Action(StrEnum):
    """What a caller may want to do."""

    CHECK_ORDERS = "check_orders"
    READ = "read"
    RELEASE_ORDERS = "release_orders"
    HOLD_ORDERS = "hold_orders"
    BLOCK_CUSTOMERS = "block_customers"
    CHANGE_LIMITS = "change_limits"
    DISPUTE = "dispute"
    PROMISE = "promise"
    ANSWER_ALERTS = "answer_alerts"


_DESK = frozenset(
    {
        Action.READ,
        Action.RELEASE_ORDERS,
        Action.HOLD_ORDERS,
        Action.DISPUTE,
        Action.PROMISE,
        Action.ANSWER_ALERTS,
    }
)
_HEAD = _DESK | {Action.BLOCK_CUSTOMERS, Action.CHANGE_LIMITS}

ROLES: Mapping[str, frozenset[Action]] = {
    "order-system": frozenset({Action.CHECK_ORDERS, Action.READ}),
    "viewer": frozenset({Action.READ}),
    "controller": _DESK,
    "manager": _HEAD,
    "admin": frozenset(Action),
}
"""What each role may do. The last of several that count is the one that the policy is told."""


@dataclass(frozen=True)
class Caller:
    """Somebody who was recognised.

    Attributes:
        name: stands in what they do, as `by`.
        roles: of `ROLES`.
        per_second: requests that they may make, on average over a second.
        id: by which the log knows them, where no names stand: `key:` and the beginning of its hash
            in the file, or `sub:` and what the identity provider knows them by.
        until: what they came with is good, in seconds since 1970; None: for ever.
    """

    name: str
    roles: tuple[str, ...]
    per_second: float
    id: str = ""
    until: float | None = None

    def may(self, action: Action) -> bool:
        return any(action in ROLES[role] for role in self.roles)

    @property
    def role(self) -> str:
        """The highest of them."""
        return max(self.roles, key=list(ROLES).index)


@dataclass
class _Bucket:
    """Room for requests: refilled steadily, never above a second's worth."""

    room: float
    at: float

    def take(self, per_second: float, now: float) -> bool:
        self.room = min(self.room + (now - self.at) * per_second, per_second * _BURST_SECONDS)
        self.at = now
        if self.room < 1:
            return False
        self.room -= 1
        return True


class Callers:
    """Recognises callers, and bounds how often each of them comes.

    Args:
        keys: by the SHA-256 of their key, in hexadecimal digits; None: there are none.
        issuer: whose tokens are taken too.
        sign_in: whose sessions are, of people who signed in with that issuer.

    Without keys and without issuer nobody has to say who they are, and everybody may do everything.
    """

    def __init__(
        self,
        keys: Mapping[str, Caller] | None,
        issuer: Issuer | None = None,
        sign_in: SignIn | None = None,
    ) -> None:
        self.is_open = keys is None and issuer is None
        """Nobody has to say who they are."""
        self._keys = keys or {}
        self._issuer = issuer
        self._sign_in = sign_in
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        """Of those who came within the last second; the one who came last, last."""

    def recognise(self, authorization: str | None) -> Caller:
        """Who sends this header, by what is known here.

        Raises `Problem`: 401 for nobody we know, 403 for a token without a role, 429 for somebody
        who comes too often, 503 for a token while the issuer's keys are not known.
        """
        if self.is_open:
            return _ANYBODY
        token = _token(authorization)
        if (caller := self._at_hand(token)) is not None or self._issuer is None:
            return self._let_in(caller or self._of_key(token))
        try:
            return self._let_in(_caller_of(self._issuer.holder_of(token)))
        except UnknownSignerError as error:
            raise unauthenticated(UNKNOWN_SIGNER) from error

    async def recognise_any(self, authorization: str | None) -> Caller:
        """The same; of a token that a new key has signed, the issuer is asked for it."""
        if self.is_open or self._issuer is None:
            return self.recognise(authorization)
        token = _token(authorization)
        if (caller := self._at_hand(token)) is not None:
            return self._let_in(caller)
        return self._let_in(_caller_of(await self._issuer.holder_of_any(token)))

    def _at_hand(self, token: str) -> Caller | None:
        """Of a key or a session; None for what the issuer has to be known for."""
        if token.startswith(_PREFIX):
            return self._of_key(token)
        if self._sign_in is not None and token.startswith(SESSION):
            return _caller_of(self._sign_in.holder_of(token))
        return None

    def _of_key(self, key: str) -> Caller:
        caller = self._keys.get(hash_of(key))
        if caller is None:
            raise unauthenticated("there is no such API key")
        return caller

    def _let_in(self, caller: Caller) -> Caller:
        now = time.monotonic()
        who = caller.id or caller.name
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(caller.per_second, now)
        has_room = bucket.take(caller.per_second, now)
        self._buckets.move_to_end(who)
        # One that nobody took from for so long is full again, as a new one is.
        while now - next(iter(self._buckets.values())).at > _BURST_SECONDS:
            self._buckets.popitem(last=False)
        if not has_room:
            raise busy(f"{caller.name} may send {caller.per_second:g} requests a second")
        return caller


_ANYBODY = Caller("demo", ("admin",), float("inf"), "anybody")


def _token(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or not token.isascii():
        raise unauthenticated("a valid API key or token is needed: Authorization: Bearer <it>")
    return token


def _caller_of(holder: Holder) -> Caller:
    return Caller(holder.name, holder.roles, _PER_SECOND, f"sub:{holder.subject}", holder.until)


def allowed(caller: Caller, action: Action) -> None:
    """Raises `Problem` 403 where the caller may not."""
    if not caller.may(action):
        need = [role for role, actions in ROLES.items() if action in actions]
        raise Problem(
            403,
            "forbidden",
            "Not with this role",
            f"{caller.name} is {', '.join(caller.roles)}; this takes one of {', '.join(need)}",
        )


def terms_of(settings: Settings) -> Terms | None:
    """What is asked of tokens; None: none are taken.

    Raises:
        ConfigurationError: the roles are none of ours.
    """
    if settings.oidc_issuer is None:
        return None
    assert settings.oidc_audience and settings.oidc_roles  # noqa: S101, PT018  checked with the issuer
    return Terms(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        roles_claim=settings.oidc_roles_claim,
        name_claim=settings.oidc_name_claim,
        roles=parse_roles(settings.oidc_roles, ROLES),
    )


def new_key() -> str:
    """A key that nobody has."""
    return _PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def hash_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def entry_of(name: str, roles: tuple[str, ...], key: str) -> str:
    """The lines that stand for a key in the file.

    Raises:
        ConfigurationError: they could not be read again.
    """
    lines = ["[[keys]]", f"name = {_quoted(name)}", f"roles = [{', '.join(map(_quoted, roles))}]"]
    lines.append(f'sha256 = "{hash_of(key)}"')
    text = "\n".join(lines) + "\n"
    read_keys(text, "the new key")
    return text


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text or not text.isprintable():
        raise ConfigurationError(f"{text!r}: a name of letters, digits and the like")
    return f'"{text}"'


def load_keys(path: Path) -> dict[str, Caller]:
    """The callers of a file, by the hash of their key.

    Raises:
        ConfigurationError: it cannot be used; every fault is named with its place.
    """
    try:
        return read_keys(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"HEADROOM_GATEWAY_KEYS: {path}: {error}") from error


def read_keys(text: str, where: str) -> dict[str, Caller]:
    """The same for the file's text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    faults = [f"{where}: unknown: {name}" for name in document if name != "keys"]
    callers: dict[str, Caller] = {}
    entries = document.get("keys", [])
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], 1):
        place = f"{where}: key {number}"
        wrong = list(_faults_of(entry))
        if wrong:
            faults += [f"{place}: {fault}" for fault in wrong]
            continue
        if entry["sha256"] in callers:
            faults.append(f"{place}: the same key as {callers[entry['sha256']].name}")
        if any(one.name == entry["name"] for one in callers.values()):
            faults.append(f"{place}: name: {entry['name']} is there already")
        callers[entry["sha256"]] = Caller(
            entry["name"],
            tuple(entry["roles"]),
            float(entry.get("per_second", _PER_SECOND)),
            f"key:{entry['sha256'][:_ID_CHARACTERS]}",
        )
    if faults:
        raise ConfigurationError("\n".join(faults))
    return callers


def _faults_of(entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return ["is no table"]
    faults = [
        f"unknown: {name}" for name in entry.keys() - {"name", "roles", "sha256", "per_second"}
    ]
    name, roles, digest = entry.get("name"), entry.get("roles"), entry.get("sha256")
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_MAX or not name.isprintable():
        faults.append("name: who has the key")
    if not isinstance(roles, list) or not roles or any(role not in ROLES for role in roles):
        faults.append(f"roles: some of {', '.join(ROLES)}")
    if (
        not isinstance(digest, str)
        or len(digest) != _HASH_CHARACTERS
        or set(digest) - set("0123456789abcdef")
    ):
        faults.append("sha256: 64 hexadecimal digits")
    rate = entry.get("per_second", _PER_SECOND)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or rate < 1:
        faults.append("per_second: a number, 1 or more")
    return faults
