"""When certificates end: those that we trust, and those that servers show us."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from streams.metrics import Metrics
from streams.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 3600.0
_CONNECT_SECONDS = 5.0
_HTTPS_PORTS = {"https": 443, "smtps": 465}


def watch_certificates(settings: Settings, metrics: Metrics) -> None:
    """Have the metrics say when they end, looked at now and every hour."""
    if settings.kafka_ssl_ca_location is None and not any(_places(settings)):
        return

    def look() -> None:
        pause = threading.Event()
        while True:
            for name, ends in certificate_ends(settings):
                if isinstance(ends, OSError):
                    logger.warning("the certificate of %s is not to be seen: %s", name, ends)
                else:
                    metrics.certificate_expiry_timestamp_seconds.labels(name).set(ends)
            pause.wait(_LOOK_SECONDS)

    threading.Thread(target=look, name="certificates", daemon=True).start()


def certificate_ends(settings: Settings) -> Iterator[tuple[str, float | OSError]]:
    """Name and end of each, in seconds since 1970, or why it is not to be seen."""
    authority = settings.kafka_ssl_ca_location
    if authority is not None:
        try:
            first = first_end_of(authority)
        except OSError as error:
            yield "kafka_ca", error
        else:
            if first is not None:
                yield "kafka_ca", first
    for name, host, port, trusted in _places(settings):
        try:
            yield name, end_of(host, port, trusted)
        except OSError as error:
            yield f"{name} ({host}:{port})", error


def end_of(host: str, port: int, authority: Path | None = None) -> float:
    """When the certificate ends that a server shows, seconds since 1970.

    Raises:
        OSError: it cannot be reached, or shows one that is not to be trusted.
    """
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    with (
        socket.create_connection((host, port), _CONNECT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        shown = secure.getpeercert() or {}
        return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def first_end_of(authority: Path) -> float | None:
    """When the first certificate of a file ends that we trust, seconds since 1970; None without
    any.

    Raises:
        OSError: the file cannot be read, or is none of certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(authority))
    ends = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()]
    return float(min(ends)) if ends else None


def _places(settings: Settings) -> Iterator[tuple[str, str, int, Path | None]]:
    """Name, host, port and authority of each server that shows us one."""
    if settings.kafka_security_protocol in ("SSL", "SASL_SSL") and settings.kafka_bootstrap:
        host, _, port = settings.kafka_bootstrap.split(",")[0].strip().rpartition(":")
        yield "kafka", host.strip("[]"), int(port), settings.kafka_ssl_ca_location
    urls = {"clickhouse": settings.clickhouse_dsn, "smtp": settings.smtp_url}
    for name, url in urls.items():
        parts = urlsplit("" if url is None else url.get_secret_value())
        if parts.scheme in _HTTPS_PORTS and parts.hostname:
            yield name, parts.hostname, parts.port or _HTTPS_PORTS[parts.scheme], None
