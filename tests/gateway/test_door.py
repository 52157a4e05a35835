"""Which settings a gateway starts with, and on which address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.gateway.callers import terms_of
from agents.gateway.run import check_door
from agents.gateway.tokens import Terms
from streams.errors import ConfigurationError
from streams.settings import Settings, load_settings

OIDC: dict[str, Any] = {
    "oidc_issuer": "https://login.firm.example/realms/firm",
    "oidc_audience": "headroom",
    "oidc_roles": '{"credit": "controller"}',
}
FAR = ["0.0.0.0", "::", "10.0.0.1", "gateway.firm.example"]  # noqa: S104
NEAR = ["127.0.0.1", "127.0.0.2", "::1", "localhost"]


@pytest.mark.parametrize("host", FAR + NEAR)
def test_a_gateway_that_asks_nobody_listens_to_its_own_machine(host: str, tmp_path: Path) -> None:
    check_door(Settings(gateway_host=host, gateway_keys=tmp_path / "keys.toml"))
    check_door(Settings(gateway_host=host, **OIDC))
    if host in NEAR:
        check_door(Settings(gateway_host=host))
    else:
        with pytest.raises(ConfigurationError, match="HEADROOM_OIDC_ISSUER"):
            check_door(Settings(gateway_host=host))


def test_what_is_asked_of_tokens_is_in_the_settings() -> None:
    assert terms_of(Settings()) is None
    assert terms_of(Settings(**OIDC, oidc_roles_claim="realm_access.roles")) == Terms(
        OIDC["oidc_issuer"], "headroom", "realm_access.roles", "preferred_username",
        {"credit": "controller"},
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="no role king"):
        terms_of(Settings(**OIDC | {"oidc_roles": '{"credit": "king"}'}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"OIDC_ISSUER": "https://login.firm.example"}, "OIDC_AUDIENCE"),
        ({"OIDC_ISSUER": "http://login.firm.example"}, "is not https://"),
        ({"OIDC_CLIENT_ID": "console"}, "OIDC_CLIENT_ID also needs"),
        ({"OIDC_ISSUER": "login.firm.example"}, "http"),
        ({"OIDC_ISSUER": "http://127.0.0.1.firm.example"}, "is not https://"),
    ],
)
def test_an_issuer_that_cannot_be_believed_is_refused(
    given: dict[str, str], told: str, clean_environment: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        clean_environment.setenv(f"HEADROOM_{name}", value)
    with pytest.raises(ConfigurationError, match=told):
        load_settings()


def test_an_issuer_on_this_machine_may_be_without_tls() -> None:
    assert Settings(**OIDC | {"oidc_issuer": "http://127.0.0.1:8080/realms/firm"}).oidc_issuer


def test_people_sign_in_over_tls_only() -> None:
    given = OIDC | {"oidc_client_id": "console"}
    assert Settings(**given, console_url="https://credit.firm.example").oidc_client_id
    with pytest.raises(ValueError, match="is not https://"):
        Settings(**given, console_url="http://credit.firm.example")
