"""Whatever else is reached over a network: registry, carriers of letters, certificates."""

from __future__ import annotations

import asyncio
import email.utils
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import httpx2
import msgspec

from agents.alerts.agent import carriers_of
from agents.alerts.routes_file import load_routes
from agents.doctor.clock import compared
from agents.doctor.findings import Check, Finding
from agents.gateway.callers import load_keys, terms_of
from agents.gateway.issuer import open_client, read_provider
from agents.notify.mail import connect, mail_server
from schemas.catalogue import TOPICS, subject, types_in
from streams.certificates import certificate_ends
from streams.errors import ConfigurationError, TransportError
from streams.settings import Settings

ISSUER_DO = "see HEADROOM_OIDC_ISSUER and _ROLES, and whether the identity provider runs"
KEYS_DO = "see HEADROOM_GATEWAY_KEYS"
REGISTRY_DO = "see HEADROOM_SCHEMA_REGISTRY_URL, and whether the registry runs"
ALERTS_DO = (
    "see HEADROOM_ALERT_ROUTES and docs/alerts.md; `headroom alerts check` tells every fault"
)
_ANSWER_SECONDS = 5.0
_DAY_SECONDS = 86_400
_SOON_DAYS = 14
"""When the alert HeadroomCertificateExpiring begins, too."""
_PORTS = {"http": 80, "https": 443, "sftp": 22}
_NOOP_DONE = 250


def registry_findings(urls: str) -> Iterator[Finding]:
    """Whether the registry answers, has our subjects, and what its clock says."""
    wanted = {
        subject(topic.name, name)
        for topic in TOPICS.values()
        if topic.direction in ("journal", "in", "out")
        for name in types_in(topic.name)
    }
    for url in urls.split(","):
        answer = httpx2.get(f"{url.strip().rstrip('/')}/subjects", timeout=_ANSWER_SECONDS)
        answer.raise_for_status()
        missing = wanted - set(_subjects(answer))
        if missing:
            text = f"{len(missing)} of {len(wanted)} subjects are missing"
            do = "nothing: the first worker registers them, if it may"
            yield Finding("registry", "warning", text, do)
        else:
            yield Finding("registry", "ok", f"has all {len(wanted)} subjects")
        if "date" in answer.headers:
            said = email.utils.parsedate_to_datetime(answer.headers["date"])
            yield compared("registry", said.timestamp(), time.time(), precision=1.0)


def issuer_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the identity provider answers and has keys, and its roles are ours."""
    terms = terms_of(settings)
    if terms is None:
        return

    async def ask() -> int:
        async with open_client() as client:
            return len((await read_provider(terms.issuer, client)).signers)

    yield Finding("oidc", "ok", f"{terms.issuer} has {asyncio.run(ask())} keys")


def key_findings(path: Path) -> Iterator[Finding]:
    """Whether the file of API keys can be used."""
    yield Finding("gateway_keys", "ok", f"{len(load_keys(path))} keys in {path}")


def carrier_checks(settings: Settings) -> Iterator[Check]:
    """One check for each way that letters and claims take. Nothing is sent."""
    if settings.smtp_url is not None:
        url = settings.smtp_url.get_secret_value()
        do = "see HEADROOM_SMTP_URL, and whether the mail server runs and lets us in"
        yield Check("smtp", lambda: [_mail_finding(url)], do)
    for name in ("sms_webhook_url", "print_webhook_url", "agency_url", "legal_url"):
        secret = getattr(settings, name)
        if secret is not None:
            check = name.removesuffix("_url")
            yield _reached(check, secret.get_secret_value(), f"HEADROOM_{name.upper()}")


def alert_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the file of routes can be used, and whether somebody listens where it points to.
    Nothing is sent.
    """
    assert settings.alert_routes is not None  # noqa: S101  else it is not asked
    routes = load_routes(settings.alert_routes)
    carriers_of(settings, routes)
    told = f"{len(routes.recipients)} recipients, {len(routes.routes)} routes"
    yield Finding("alerts", "ok", told)
    urls = {one.address: one.name for one in routes.recipients.values() if one.channel != "email"}
    for url, name in urls.items():
        host, port = _place(urlsplit(url))
        try:
            socket.create_connection((host, port), _ANSWER_SECONDS).close()
        except OSError as error:
            do = f"see the address of {name} in HEADROOM_ALERT_ROUTES, and whether it is up"
            yield Finding("alerts", "wrong", f"{name}: {host}:{port}: {error}", do)
        else:
            yield Finding("alerts", "ok", f"{name}: {host}:{port} listens")


def certificate_findings(settings: Settings) -> Iterator[Finding]:
    """How long each certificate holds that we trust or that a server shows us."""
    for name, ends in certificate_ends(settings):
        check = f"certificate of {name}"
        do = "renew it: docs/runbooks/HeadroomCertificateExpiring.md"
        if isinstance(ends, OSError):
            yield Finding(check, "wrong", str(ends), do)
            continue
        days = (ends - time.time()) / _DAY_SECONDS
        if days < 0:
            yield Finding(check, "wrong", f"ended {-days:.0f} days ago", do)
        elif days < _SOON_DAYS:
            yield Finding(check, "warning", f"ends in {days:.0f} days", do)
        else:
            yield Finding(check, "ok", f"holds for {days:.0f} days")


def _subjects(answer: httpx2.Response) -> list[str]:
    try:
        return msgspec.json.decode(answer.content, type=list[str])
    except msgspec.DecodeError as error:
        raise TransportError(
            f"answers, but not as a registry does: {error}", retry_after=0
        ) from error


def _mail_finding(url: str) -> Finding:
    try:
        server = mail_server(url)
    except ValueError as error:
        return Finding("smtp", "wrong", str(error), "see HEADROOM_SMTP_URL")
    connection = connect(server, seconds=_ANSWER_SECONDS)
    try:
        code, said = connection.noop()
    finally:
        connection.close()
    if code != _NOOP_DONE:
        text = f"answers {code} {said.decode(errors='replace')}"
        return Finding("smtp", "wrong", text, "ask whoever runs the mail server")
    return Finding("smtp", "ok", "lets us in")


def _reached(name: str, url: str, variable: str) -> Check:
    """A service that cannot be asked without giving it something: whether somebody listens."""
    parts = urlsplit(url)
    do = f"see {variable}, and whether what it names is up"
    if parts.scheme == "file":
        return Check(name, lambda: [_folder_finding(name, Path(unquote(parts.path)))], do)

    def look() -> Iterator[Finding]:
        host, port = _place(parts)
        socket.create_connection((host, port), _ANSWER_SECONDS).close()
        yield Finding(name, "ok", f"{host}:{port} listens")

    return Check(name, look, do)


def _place(parts: SplitResult) -> tuple[str, int]:
    """Host and port. Raises `ConfigurationError` when the address has none."""
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # it is no number
        port = None
    if not parts.hostname or port is None:
        raise ConfigurationError("names no host that can be reached")
    return parts.hostname, port


def _folder_finding(name: str, folder: Path) -> Finding:
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Finding(name, "ok", str(folder))
    text = f"nothing can be written to {folder}"
    return Finding(name, "wrong", text, "make the directory, and give this user the right")
