"""When certificates end, as a real server shows them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.certificates import certificate, in_days
from streams.certificates import end_of, first_end_of, watch_certificates
from streams.embedded.ports import LOOPBACK
from streams.metrics import Metrics
from streams.settings import Settings


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server with a certificate of thirty days: its port, and the file to trust it by."""
    shown, key = certificate(tmp_path, "server", 30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, key)
    listening = socket.create_server((LOOPBACK, 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            try:
                context.wrap_socket(plain, server_side=True).close()
            except (ssl.SSLError, OSError):
                plain.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1], shown
    listening.close()


def test_a_server_shows_when_its_certificate_ends(server: tuple[int, Path]) -> None:
    port, trusted = server
    assert end_of(LOOPBACK, port, trusted) == in_days(30)


def test_one_that_is_not_to_be_trusted_is_no_answer(server: tuple[int, Path]) -> None:
    with pytest.raises(OSError, match="certificate verify failed"):
        end_of(LOOPBACK, server[0])


def test_of_those_that_we_trust_the_first_to_end_counts(tmp_path: Path) -> None:
    both = tmp_path / "authorities.pem"
    first, second = certificate(tmp_path, "old", 5)[0], certificate(tmp_path, "new", 700)[0]
    both.write_bytes(second.read_bytes() + first.read_bytes())
    assert first_end_of(both) == in_days(5)
    with pytest.raises(OSError, match="No such file"):
        first_end_of(tmp_path / "none.pem")


def test_the_metrics_say_it(server: tuple[int, Path]) -> None:
    port, trusted = server
    metrics = Metrics()
    settings = Settings(
        kafka_bootstrap=f"{LOOPBACK}:{port}",
        kafka_security_protocol="SSL",
        kafka_ssl_ca_location=trusted,
    )
    watch_certificates(settings, metrics)
    for _ in range(100):
        shown = metrics.exposition()[0].decode()
        if shown.count("expiry_timestamp_seconds{") == 2:
            break
        threading.Event().wait(0.05)
    values = {
        line.partition('"')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in shown.splitlines()
        if line.startswith("headroom_certificate_expiry_timestamp_seconds{")
    }
    assert values == {"kafka": in_days(30), "kafka_ca": in_days(30)}


def test_without_certificates_nothing_is_watched() -> None:
    metrics = Metrics()
    # By itself, not by number: threads of other tests may end meanwhile.
    before = set(threading.enumerate())
    watch_certificates(Settings(kafka_bootstrap=f"{LOOPBACK}:9092"), metrics)
    assert set(threading.enumerate()) <= before
