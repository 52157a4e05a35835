"""Bearer tokens of an identity provider (OpenID Connect): what they must say, and who that is.

Pure: keys and time are given. The algorithm is the key's, never the token's to choose, and only
asymmetric ones are known here, so neither `none` nor a public key used as a secret opens anything.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from agents.intake.rules import ID_CHARACTERS_MAX
from streams.errors import ConfigurationError

TOKEN_CHARACTERS_MAX = 16 * 1024
"""Tokens with many groups have some thousands; more is nobody's."""
LEEWAY_SECONDS = 30
"""By how much our clock and the provider's may be apart."""
_RSA_CHARACTERS_MIN = 342
"""Of base64: 2048 bits. The library takes shorter ones, with a warning."""
_OF_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_OF_ED25519 = ("EdDSA", "Ed25519")
_ALGORITHMS = frozenset({*_OF_RSA, *_OF_CURVE.values(), *_OF_ED25519})
SUBJECT = "sub"

# RFC 9864 calls it Ed25519; providers do not, yet.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)


class WrongTokenError(Exception):
    """The token does not stand for anybody; why, in words that its sender may read."""


class UnknownSignerError(Exception):
    """No key at hand has signed it: it may be one that the provider has had since."""


class NoRoleError(Exception):
    """It is somebody, who has no role here."""


@dataclass(frozen=True)
class Terms:
    """What is asked of a token.

    Attributes:
        issuer: who made it, letter for letter.
        audience: for whom it must be.
        roles_claim: the claim that has the roles, nested ones with a point between.
        name_claim: the claim by which people know its holder.
        roles: from a value of that claim to a role here.
    """

    issuer: str
    audience: str
    roles_claim: str
    name_claim: str
    roles: Mapping[str, str]


class Holder(NamedTuple):
    """Whose token it is.

    Attributes:
        name: that people know.
        subject: the provider's id for them, which never changes.
        roles: at least one.
        until: the token is good, in seconds since 1970.
    """

    name: str
    subject: str
    roles: tuple[str, ...]
    until: float


class Signer(NamedTuple):
    """A key with which tokens are signed, and the algorithms for which it is good."""

    key: Key
    algorithms: tuple[str, ...]


def parse_roles(text: str, known: Iterable[str]) -> dict[str, str]:
    """The roles of a provider and which of ours they are: `{"credit-managers": "manager"}`.

    Raises:
        ConfigurationError: it is something else, or names a role that is none of `known`.
    """
    try:
        roles = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f'HEADROOM_OIDC_ROLES: {error}; it is like {{"credit-managers": "manager"}}'
        ) from error
    known = list(known)
    unknown = sorted(set(roles.values()) - set(known))
    if unknown or not roles:
        raise ConfigurationError(
            f"HEADROOM_OIDC_ROLES: no role {', '.join(unknown) or 'at all'} ({', '.join(known)})"
        )
    return roles


def signers_of(key_set: object) -> dict[str, Signer]:
    """The keys of a JWK set that sign tokens, by their id (empty: without one).

    Keys that are symmetric, for encryption, too short, of a kind that is not known or broken are
    passed over: a provider may have them for others.
    """
    entries = key_set.get("keys") if isinstance(key_set, dict) else None
    found: dict[str, Signer] = {}
    for entry in entries if isinstance(entries, list) else []:
        signer = _signer(entry)
        if signer is not None:
            found.setdefault(str(entry.get("kid", "")), signer)
    return found


def _signer(entry: Any) -> Signer | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        if len(entry.get("n", "")) in range(1, _RSA_CHARACTERS_MIN):
            return None
        key = JWKRegistry.import_key(entry)
        algorithms = _algorithms_of(key)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError):
        return None  # others of the set may be good
    only = entry.get("alg")
    if only is not None:
        algorithms = tuple(one for one in algorithms if one == only)
    return Signer(key, algorithms) if algorithms else None


def _algorithms_of(key: Key) -> tuple[str, ...]:
    match key:
        case RSAKey():
            return _OF_RSA
        case ECKey() if key.curve_name in _OF_CURVE:
            return (_OF_CURVE[key.curve_name],)
        case OKPKey() if key.curve_name == "Ed25519":
            return _OF_ED25519
        case _:
            return ()


def claims_of(
    token: str, signers: Mapping[str, Signer], terms: Terms, now: float
) -> dict[str, Any]:
    """What a token says, once it is known to be good.

    Args:
        token: as it was sent.
        signers: the provider's keys.
        terms: what is asked of it.
        now: seconds since 1970.

    Raises:
        WrongTokenError: it is forged, expired, not valid yet, of or for somebody else.
        UnknownSignerError: it names a key that is not at hand.
    """
    signer = _signer_of(token, signers)
    try:
        claims = jwt.decode(token, signer.key, algorithms=signer.algorithms).claims
        _registry(terms, now).validate(claims)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise WrongTokenError(_said(error)) from error
    if not _is_name(claims[SUBJECT]):
        raise WrongTokenError("its sub is no name")
    return claims


def holder_of(claims: Mapping[str, Any], terms: Terms) -> Holder:
    """Whose token it is that says this.

    Raises:
        NoRoleError: none of its roles is one of ours.
    """
    roles = roles_in(claims, terms)
    if not roles:
        raise NoRoleError
    name = _claim(claims, terms.name_claim)
    if not _is_name(name) or (terms.name_claim == "email" and not claims.get("email_verified")):
        name = claims[SUBJECT]
    return Holder(name, claims[SUBJECT], roles, claims["exp"] + LEEWAY_SECONDS)


def roles_in(claims: Mapping[str, Any], terms: Terms) -> tuple[str, ...]:
    """Those of our roles that a token has."""
    theirs = _texts(_claim(claims, terms.roles_claim))
    return tuple(sorted({terms.roles[one] for one in theirs if one in terms.roles}))


class _Header(msgspec.Struct):
    alg: str
    kid: str = ""


def _signer_of(token: str, signers: Mapping[str, Signer]) -> Signer:
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise WrongTokenError("it is too long")
    first, dot, _ = token.partition(".")
    try:
        raw = base64.b64decode(first + "=" * (-len(first) % 4), b"-_", validate=True)
        header = msgspec.json.decode(raw, type=_Header)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise WrongTokenError("it is no token") from error
    if not dot:
        raise WrongTokenError("it is no token")
    if header.alg not in _ALGORITHMS:
        raise WrongTokenError("its algorithm is none of ours")
    signer = signers.get(header.kid)
    if signer is None and not header.kid and len(signers) == 1:
        (signer,) = signers.values()
    if signer is None:
        raise UnknownSignerError
    if header.alg not in signer.algorithms:
        raise WrongTokenError("its key is not for its algorithm")
    return signer


def _registry(terms: Terms, now: float) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        now=int(now),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": terms.issuer},
        aud={"essential": True, "value": terms.audience},
        exp={"essential": True},
        sub={"essential": True},
    )


def _said(error: Exception) -> str:
    """The library's words where they say nothing of what the token holds."""
    if isinstance(error, JoseError) and error.error in _SAID:
        claim = getattr(error, "claim", "")
        return f"{_SAID[error.error]} {claim}".strip()
    return "it is no token"


_SAID = {
    "bad_signature": "its signature is wrong",
    "expired_token": "it has expired:",
    "invalid_claim": "it is not for us, or not now:",
    "missing_claim": "it lacks",
}


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name; where none is called so, by the way to it, with points between."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _texts(value: Any) -> list[str]:
    """Roles come as a list, or as words in one text."""
    if isinstance(value, str):
        return [value, *value.split()]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= ID_CHARACTERS_MAX
        and value.isprintable()
        and not value.isspace()
    )
