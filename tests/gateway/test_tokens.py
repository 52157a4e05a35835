"""Tokens of an identity provider: which ones are taken, and for whom they stand."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gateway.provider import AUDIENCE, EC, EDWARDS, ROLES, RSA, SHORT, Provider, segment
from joserfc.jwk import Key, OctKey, RSAKey

from agents.gateway.callers import ROLES as OURS
from agents.gateway.tokens import (
    LEEWAY_SECONDS,
    TOKEN_CHARACTERS_MAX,
    Holder,
    NoRoleError,
    UnknownSignerError,
    WrongTokenError,
    claims_of,
    holder_of,
    parse_roles,
    signers_of,
)
from streams.errors import ConfigurationError

P = Provider(1)  # nobody asks it anything here
NOW = 1_800_000_000.0
P.clock = lambda: NOW
SIGNERS = signers_of({"keys": [one.as_dict(private=False) for one in (RSA, EC, EDWARDS)]})


def holder(token: str, now: float = NOW, **terms: Any) -> Holder:
    asked = replace(P.terms, **terms)
    return holder_of(claims_of(token, SIGNERS, asked, now), asked)


def test_a_token_tells_who_it_is_and_in_which_roles() -> None:
    until = int(NOW) + 300 + LEEWAY_SECONDS
    assert holder(P.token(exp=int(NOW) + 300)) == Holder("anna", "0d3c-77", ("manager",), until)
    both = P.token(RSA, None, "credit", "credit-managers", "uma_authorization")
    assert holder(both).roles == ("controller", "manager")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (EC, "ES256"), (EDWARDS, "EdDSA"), (EDWARDS, "Ed25519")],
)
def test_the_usual_algorithms_are_taken(key: Key, algorithm: str) -> None:
    assert holder(P.token(key, {"alg": algorithm})).name == "anna"


def forged_with_the_public_key(algorithm: str) -> str:
    """The library would not sign so, and whoever forges does not ask it."""
    signed = segment({"alg": algorithm, "kid": "rsa"}) + "." + segment(P.claims())
    digest = hmac.new(RSA.as_pem(private=False), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{segment(digest)}"


def tampered() -> str:
    first, _, signature = P.token().split(".")
    return ".".join([first, segment(P.claims("credit-managers", sub="boss")), signature])


FOR_ANYTHING = {k: v for k, v in RSA.as_dict(private=True).items() if k not in ("alg", "use")}
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})
WRONG: dict[str, Callable[[], str]] = {
    "signed by somebody else": lambda: P.token(OTHER),
    "tampered with": tampered,
    "without signature": lambda: P.token().rpartition(".")[0] + ".",
    "alg none": lambda: segment({"alg": "none", "kid": "rsa"}) + f".{segment(P.claims())}.",
    "alg NONE": lambda: segment({"alg": "NONE", "kid": "rsa"}) + f".{segment(P.claims())}.",
    "alg none without kid": lambda: segment({"alg": "none"}) + f".{segment(P.claims())}.",
    "HS256 with the public key": lambda: forged_with_the_public_key("HS256"),
    "RS256 that is HS256": lambda: forged_with_the_public_key("RS256"),
    "an algorithm that the key is not for": lambda: P.token(
        RSAKey.import_key(FOR_ANYTHING), {"alg": "RS512"}
    ),
    "an algorithm that nobody knows": lambda: (
        segment({"alg": "XX1", "kid": "rsa"}) + f".{segment(P.claims())}.AAAA"
    ),
    "another kind of key": lambda: P.token(EC, {"alg": "ES256", "kid": "rsa"}),
    "expired": lambda: P.token(exp=int(NOW) - LEEWAY_SECONDS - 1),
    "never expires": lambda: P.token(exp=None),
    "expires at no time": lambda: P.token(exp="tomorrow"),
    "expires never, as a number": lambda: P.token(exp=float("nan")),
    "not valid yet": lambda: P.token(nbf=int(NOW) + LEEWAY_SECONDS + 2),
    "of the future": lambda: P.token(iat=int(NOW) + 3600),
    "of another issuer": lambda: P.token(iss="http://127.0.0.1:1/realms/other"),
    "of nearly the issuer": lambda: P.token(iss=P.issuer + "/"),
    "of no issuer": lambda: P.token(iss=None),
    "of a list of issuers": lambda: P.token(iss=[P.issuer]),
    "for somebody else": lambda: P.token(aud="account"),
    "for nobody": lambda: P.token(aud=None),
    "for no one's name": lambda: P.token(aud={"headroom": 1}),
    "of nobody": lambda: P.token(sub=None),
    "of a blank": lambda: P.token(sub="  "),
    "of a line break": lambda: P.token(sub="a\nb"),
    "of a long name": lambda: P.token(sub="s" * 201),
    "of a number": lambda: P.token(sub=17),
    "huge": lambda: P.token(padding="x" * TOKEN_CHARACTERS_MAX),
    "with a huge header": lambda: P.token(RSA, {"typ": "x" * 4_000}),
    "with a critical header that is not known": lambda: (
        segment({"alg": "RS256", "kid": "rsa", "crit": ["x"], "x": 1}) + "." + segment({}) + ".AA"
    ),
    "no token": lambda: "abc",
    "empty": lambda: "",
    "points": lambda: "..",
    "many points": lambda: P.token() + ".a.b",
    "encrypted": lambda: segment({"alg": "RSA-OAEP", "enc": "A128GCM", "kid": "rsa"}) + ".a.b.c.d",
    "a header that is a list": lambda: segment([]) + ".e30.AA",
    "a header that is a text": lambda: segment("alg") + ".e30.AA",
    "a header of other types": lambda: segment({"alg": ["RS256"], "kid": {}}) + ".e30.AA",
    "a header nested deep": lambda: segment(b'{"alg":' * 400) + ".e30.AA",
    "claims that are a list": lambda: signed(b"[1]"),
    "claims that are rubbish": lambda: signed(b"\xff\xfe"),
    "claims nested deep": lambda: signed(b'{"sub":' + b"[" * 3_000 + b"]" * 3_000 + b"}"),
}


def signed(payload: bytes) -> str:
    """By the right key, whatever it is."""
    from joserfc import jws  # noqa: PLC0415  only here

    return jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, payload, RSA)


@pytest.mark.parametrize("what", WRONG)
def test_a_token_that_is_not_good_stands_for_nobody(what: str) -> None:
    with pytest.raises(WrongTokenError):
        holder(WRONG[what]())


def test_what_is_said_of_a_wrong_token_says_nothing_of_what_is_in_it() -> None:
    for make in WRONG.values():
        with pytest.raises(WrongTokenError) as caught:
            holder(make())
        said = str(caught.value)
        assert said.isascii()
        assert not any(word in said for word in ("boss", "tomorrow", "realms", "0d3c", "xxx"))


def test_clocks_may_be_a_little_apart() -> None:
    token = P.token(exp=int(NOW) - LEEWAY_SECONDS + 5, nbf=int(NOW) + LEEWAY_SECONDS - 5)
    assert holder(token).name == "anna"


@pytest.mark.parametrize("kid", ["else", ""])
def test_a_key_that_is_not_there_may_come(kid: str) -> None:
    other = RSAKey.generate_key(2048, {"kid": "else"})
    with pytest.raises(UnknownSignerError):
        holder(P.token(other, {"kid": kid}))


def test_without_a_kid_the_only_key_counts() -> None:
    only = signers_of({"keys": [RSA.as_dict(private=False)]})
    bare = segment({"alg": "RS256"})
    token = P.token(RSA, {"kid": ""})
    assert not token.startswith(bare)
    assert holder_of(claims_of(token, only, P.terms, NOW), P.terms).name == "anna"


def test_keys_that_sign_nothing_are_passed_over() -> None:
    broken = {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}
    secret = OctKey.generate_key(256, {"kid": "secret"}).as_dict(private=True)
    encrypts = RSA.as_dict(private=False) | {"use": "enc", "kid": "encrypts"}
    strange = {"kty": "AKP", "kid": "strange", "alg": "ML-DSA-44", "pub": "AA"}
    other_curve = {"kty": "OKP", "crv": "X25519", "kid": "x", "x": EDWARDS.as_dict()["x"]}
    good = EC.as_dict(private=False)
    keys = [broken, secret, encrypts, strange, other_curve, SHORT.as_dict(private=False), 7, good]
    assert list(signers_of({"keys": keys})) == ["ec"]
    nothing: list[object] = [{}, [], {"keys": "x"}, {"keys": {}}, None]
    assert [signers_of(one) for one in nothing] == [{}] * 5


@pytest.mark.parametrize(
    ("claim", "claims", "roles"),
    [
        ("roles", {"roles": ["credit"]}, ("controller",)),
        ("roles", {"roles": "shop"}, ("order-system",)),
        ("scope", {"scope": "openid shop credit"}, ("controller", "order-system")),
        ("a.b.c", {"a": {"b": {"c": ["credit"]}}}, ("controller",)),
        ("https://firm.example/roles", {"https://firm.example/roles": ["shop"]}, ("order-system",)),
    ],
)
def test_roles_are_found_where_the_settings_say(
    claim: str, claims: dict[str, Any], roles: tuple[str, ...]
) -> None:
    assert holder(P.token(**claims), roles_claim=claim).roles == roles


@pytest.mark.parametrize(
    "value", [None, [], ["manager", "admin"], {"credit": True}, 7, [["credit"]], ["CREDIT"]]
)
def test_who_has_no_role_here_is_not_let_in(value: Any) -> None:
    """Not even by one that is called like ours: it may be somebody's of another system."""
    with pytest.raises(NoRoleError):
        holder(P.token(roles=value), roles_claim="roles")


@pytest.mark.parametrize(
    ("claim", "claims", "name"),
    [
        ("preferred_username", {"preferred_username": None}, "0d3c-77"),
        ("preferred_username", {"preferred_username": "a\nb"}, "0d3c-77"),
        ("preferred_username", {"preferred_username": ["x"]}, "0d3c-77"),
        ("preferred_username", {"preferred_username": "n" * 201}, "0d3c-77"),
        ("email", {"email": "a@firm.example", "email_verified": True}, "a@firm.example"),
        ("email", {"email": "boss@firm.example"}, "0d3c-77"),
        ("email", {"email": "boss@firm.example", "email_verified": False}, "0d3c-77"),
        ("sub", {}, "0d3c-77"),
        ("user.name", {"user": {"name": "Ännchen"}}, "Ännchen"),
    ],
)
def test_a_holder_is_called_as_the_settings_say(
    claim: str, claims: dict[str, Any], name: str
) -> None:
    assert holder(P.token(**claims), name_claim=claim).name == name


def test_roles_of_the_settings() -> None:
    assert parse_roles(json.dumps(ROLES), OURS) == ROLES
    for wrong in ("", "{}", "[]", '{"a": 1}', "a=manager", '{"a": "king"}'):
        with pytest.raises(ConfigurationError, match="HEADROOM_OIDC_ROLES"):
            parse_roles(wrong, OURS)


def test_the_audience_is_the_settings() -> None:
    assert P.terms.audience == AUDIENCE
    with pytest.raises(WrongTokenError):
        holder(P.token(), audience="head")
