"""A real schema registry on this machine: Apicurio, which speaks Confluent's interface as well.

Same manners as the broker: loopback only, free ports, gone with the process that started it. What
is registered is kept in `directory`, since records in the topics carry the ids it gave out.
"""

from __future__ import annotations

import http.client
import os
import shutil
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Self

from streams.embedded.claim import Claim, holder
from streams.embedded.java import OPTIONS, find_java
from streams.embedded.maven import fetch
from streams.embedded.ports import LOOPBACK, free_ports
from streams.embedded.supervised import EmbeddedPartError, SupervisedProcess

JAVA_AT_LEAST = 21
CONFLUENT_PATH = "/apis/ccompat/v7"
_START_SECONDS = 120.0
_STOPPING_SECONDS = 15.0


class EmbeddedApicurio:
    """One registry in `directory`, with its program unpacked in `cache`."""

    def __init__(self, directory: Path, *, cache: Path, java: Path | None = None) -> None:
        self.directory = directory.absolute()
        self.url = ""
        self._cache = cache.absolute()
        self._java = java
        self._claim = Claim(self.directory / "apicurio.lock")
        self._process: SupervisedProcess | None = None

    def start(self) -> str:
        """Start and wait until it answers; returns the URL of its Confluent-compatible interface.

        Raises:
            EmbeddedPartError: the directory is in use, or the registry does not come up.
            DownloadError: its program is not there and cannot be had.
            ConfigurationError: the Java that was chosen will not do.
        """
        java = find_java(self._java, JAVA_AT_LEAST)
        program = _unpacked(fetch("apicurio", self._cache)[0])
        if not self._claim.take(_STOPPING_SECONDS):
            raise EmbeddedPartError(
                f"{self.directory} is in use by process {holder(self._claim.path)}"
            )
        try:
            port, management = free_ports(2)
            self._process = SupervisedProcess(
                "The embedded schema registry",
                [str(java), *OPTIONS, "-jar", str(program / "quarkus-run.jar")],
                log=self.directory / "registry.log",
                claim=self._claim,
                environment=os.environ | self._settings(port, management),
            )
            self._wait_until_ready(port)
        except BaseException:
            self.stop()
            raise
        self.url = f"http://{LOOPBACK}:{port}{CONFLUENT_PATH}"
        return self.url

    def stop(self) -> None:
        """Stop the registry and wait until it is gone. Safe to call twice."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._claim.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raises EmbeddedPartError when the registry has died."""
        if self._process is not None:
            self._process.check()

    def _settings(self, port: int, management: int) -> dict[str, str]:
        return {
            "QUARKUS_HTTP_HOST": LOOPBACK,
            "QUARKUS_HTTP_PORT": str(port),
            "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
            "QUARKUS_MANAGEMENT_PORT": str(management),
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self.directory / 'registry'}",
        }

    def _wait_until_ready(self, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if _answers(port):
                return
            time.sleep(0.1)
        tail = self._process.log_tail() if self._process else ""
        raise EmbeddedPartError(
            f"The schema registry does not answer after {_START_SECONDS:.0f} s:\n{tail}"
        )


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", f"{CONFLUENT_PATH}/subjects")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _unpacked(archive: Path) -> Path:
    """The archive's content beside it, unpacked once; whole or not at all."""
    program = archive.parent / "unpacked"
    if program.is_dir():
        return program
    partial = Path(tempfile.mkdtemp(prefix="unpacking-", dir=archive.parent))
    try:
        with tarfile.open(archive) as tar:
            # The content is locked by hash, so there is nothing in it that could step outside.
            tar.extractall(partial)  # noqa: S202
        partial.rename(program)
    except OSError:
        if not program.is_dir():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return program
