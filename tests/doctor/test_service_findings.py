"""What is said of registry, carriers and certificates: asked for real, on loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gateway.provider import provider
from notify.mailroom import Mailroom

from agents.doctor import services
from agents.doctor.findings import Finding, run_all
from agents.doctor.services import (
    carrier_checks,
    certificate_findings,
    issuer_findings,
    key_findings,
    registry_findings,
)
from agents.gateway.callers import entry_of, new_key
from schemas.catalogue import TOPICS, subject, types_in
from streams.embedded.ports import LOOPBACK
from streams.errors import ConfigurationError, TransportError
from streams.settings import Settings

MakeSettings = Callable[..., Settings]
ALL = [
    subject(topic.name, name)
    for topic in TOPICS.values()
    if topic.direction in ("journal", "in", "out")
    for name in types_in(topic.name)
]


class Registry(BaseHTTPRequestHandler):
    """Answers one question, with a clock of its own."""

    subjects: bytes
    ahead: float

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/subjects" else 404)
        self.end_headers()
        self.wfile.write(self.subjects)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((time.time() if timestamp is None else timestamp) + self.ahead)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on stderr."""


@pytest.fixture
def registry() -> Iterator[str]:
    """Its URL. It has all subjects, and the right time, until a test says otherwise."""
    Registry.subjects, Registry.ahead = json.dumps(ALL).encode(), 0.0
    server = ThreadingHTTPServer((LOOPBACK, 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{LOOPBACK}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def mailroom() -> Iterator[Mailroom]:
    room = Mailroom()
    yield room
    room.close()


def carriers(settings: Settings) -> dict[str, Finding]:
    return {one.check: one for one in run_all(list(carrier_checks(settings)), 10)}


def test_a_registry_with_all_subjects_and_the_right_time(registry: str) -> None:
    assert [(one.check, one.verdict) for one in registry_findings(f"{registry}/")] == [
        ("registry", "ok"), ("clock of registry", "ok"),
    ]  # fmt: skip


def test_a_registry_without_a_subject_and_with_another_time(registry: str) -> None:
    Registry.subjects, Registry.ahead = json.dumps(ALL[2:]).encode(), -120.0
    missing, clock = registry_findings(registry)
    assert (missing.verdict, missing.text) == (
        "warning", f"2 of {len(ALL)} subjects are missing",
    )  # fmt: skip
    assert clock.verdict == "wrong"


def test_something_else_than_a_registry(registry: str) -> None:
    Registry.subjects = b"<html>"
    with pytest.raises(TransportError, match="answers, but not as a registry does"):
        list(registry_findings(registry))


def test_a_mail_server_that_lets_us_in_and_one_that_is_away(
    mailroom: Mailroom, make_settings: MakeSettings
) -> None:
    assert carriers(make_settings(smtp_url=mailroom.url))["smtp"].verdict == "ok"
    assert mailroom.box == []
    away = carriers(make_settings(smtp_url=f"smtp://{LOOPBACK}:9"))["smtp"]
    assert away.verdict == "wrong"
    assert "HEADROOM_SMTP_URL" in away.do
    nonsense = carriers(make_settings(smtp_url="http://mail"))["smtp"]
    assert nonsense.text == "should be smtp://host:port or smtps://host:port"


def test_a_mail_server_that_refuses_our_password(
    mailroom: Mailroom, make_settings: MakeSettings
) -> None:
    url = mailroom.url.replace("smtp://", "smtp://me:geheim@")
    refused = carriers(make_settings(smtp_url=url))["smtp"]
    assert refused.verdict == "wrong"
    assert "geheim" not in refused.text


def test_services_and_folders_that_take_letters_and_claims(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
        found = carriers(
            make_settings(
                sms_webhook_url=f"http://key:secret@{LOOPBACK}:{port}/sms",
                print_webhook_url=f"http://{LOOPBACK}:9/print",
                agency_url=f"file://{tmp_path}",
                legal_url=f"file://{tmp_path}/not-there",
            )
        )
    verdicts = {name: one.verdict for name, one in found.items()}
    assert verdicts == {
        "sms_webhook": "ok", "print_webhook": "wrong", "agency": "ok", "legal": "wrong",
    }  # fmt: skip
    assert "HEADROOM_PRINT_WEBHOOK_URL" in found["print_webhook"].do
    assert not any("secret" in one.text for one in found.values())


@pytest.mark.parametrize("url", ["ftp://host/dir", "https://host:port/sms", "/just/a/path"])
def test_what_is_no_address_of_a_service(make_settings: MakeSettings, url: str) -> None:
    (found,) = carriers(make_settings(agency_url=url)).values()
    assert (found.verdict, found.text) == ("wrong", "names no host that can be reached")


def test_certificates_by_how_long_they_hold(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, day = time.time(), 86_400
    seen = [
        ("kafka", now + 100 * day),
        ("smtp", now + 5 * day),
        ("clickhouse", now - 2 * day),
        ("kafka_ca", OSError("certificate verify failed")),
    ]
    monkeypatch.setattr(services, "certificate_ends", lambda _: iter(seen))
    found = [(one.verdict, one.text) for one in certificate_findings(make_settings())]
    assert [verdict for verdict, _ in found] == ["ok", "warning", "wrong", "wrong"]
    assert found[3][1] == "certificate verify failed"


def test_the_file_of_routes_and_whether_somebody_listens_where_it_points_to(
    mailroom: Mailroom, make_settings: MakeSettings, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
        file.write_text(
            f"""recipients.ann.email = "ann@firm.example"
            recipients.desk.chat = "http://{LOOPBACK}:{port}/a-secret"
            recipients.away.chat = "http://{LOOPBACK}:9/a-secret"
            routes = [{{name = "all", to = ["ann", "desk", "away"]}}]"""
        )
        sender = {"alert_routes": file, "alert_sender": "alerts@firm.example"}
        settings = make_settings(smtp_url=mailroom.url, **sender)
        read, desk, away = services.alert_findings(settings)
    assert (read.verdict, read.text) == ("ok", "3 recipients, 1 routes")
    assert (desk.verdict, desk.text) == ("ok", f"desk: {LOOPBACK}:{port} listens")
    assert away.verdict == "wrong"
    assert "a-secret" not in away.text + away.do
    with pytest.raises(ConfigurationError, match="alerts by mail need HEADROOM_SMTP_URL"):
        list(services.alert_findings(make_settings(**sender)))
    file.write_text("routes = 1")
    with pytest.raises(ConfigurationError, match="routes: should be tables"):
        list(services.alert_findings(settings))


def test_an_identity_provider_is_asked_for_its_keys(make_settings: MakeSettings) -> None:
    with provider() as there:
        given = {
            "oidc_issuer": there.issuer, "oidc_audience": "headroom",
            "oidc_roles": '{"credit": "controller"}',
        }  # fmt: skip
        (found,) = issuer_findings(make_settings(**given))
        assert found == Finding("oidc", "ok", f"{there.issuer} has 1 keys")
        there.keys = []
        with pytest.raises(TransportError, match="no key"):
            list(issuer_findings(make_settings(**given)))
        with pytest.raises(ConfigurationError, match="no role king"):
            list(issuer_findings(make_settings(**given | {"oidc_roles": '{"credit": "king"}'})))
    with pytest.raises(TransportError, match="ConnectError"):
        list(issuer_findings(make_settings(**given)))
    assert list(issuer_findings(make_settings())) == []


def test_the_file_of_keys_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(entry_of("shop", ("order-system",), new_key()))
    assert list(key_findings(path)) == [Finding("gateway_keys", "ok", f"1 keys in {path}")]
    path.write_text("rubbish")
    with pytest.raises(ConfigurationError):
        list(key_findings(path))
