"""Takes claims, and what changes about them, to whoever collects them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path

from agents.handover.targets import Parcel, Target, target_of
from agents.notify.carriers import Errand, Leaving, NotNowError, RefusedError, Words
from schemas.events import DunningStep, HandoverChanged
from schemas.json_lines import to_line
from streams.errors import ConfigurationError
from streams.settings import Settings

_ARCHIVE_SECONDS = 1800.0
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")
_NAME_CHARACTERS = 80


def handover_targets(settings: Settings) -> dict[str, Target]:
    """By channel, where claims go.

    Raises:
        ConfigurationError: a setting is no address; it is named.
    """
    found: dict[str, Target] = {}
    for channel, url in (("agency", settings.agency_url), ("legal", settings.legal_url)):
        if url is None:
            continue
        try:
            found[channel] = target_of(
                url.get_secret_value(),
                known_hosts=settings.sftp_known_hosts,
                key=settings.sftp_key,
            )
        except ValueError as error:
            raise ConfigurationError(f"HEADROOM_{channel.upper()}_URL: {error}") from error
    return found


def file_name(step_id: str) -> str:
    """The name of a claim's files, without an ending: readable, and no other claim's."""
    digest = blake2b(step_id.encode(), digest_size=4).hexdigest()
    return f"{_UNSAFE.sub('_', step_id)[:_NAME_CHARACTERS]}-{digest}"


def parcel_of_claim(step: DunningStep, archive: bytes) -> Parcel:
    """The dossier of a claim as a file."""
    return Parcel(f"{file_name(step.step_id)}.zip", "application/zip", archive)


def parcel_of_change(change: HandoverChanged) -> Parcel:
    """What has changed of a claim as a file: the event as JSON."""
    name = f"{file_name(change.step_id)}.{change.kind}-{change.event_id[:12]}.json"
    return Parcel(name, "application/json", f"{to_line(change)}\n".encode())


class HandoverCarrier:
    """Hands claims over. The same one twice is there once.

    Args:
        target: where they go.
        archive: the dossier of a claim; raises `NotNowError`.
    """

    repeatable = True

    def __init__(self, target: Target, archive: Callable[[DunningStep], bytes]) -> None:
        self._target = target
        self._archive = archive

    def begin(self, errand: Errand) -> Leaving:
        if isinstance(errand, HandoverChanged):
            return _Delivery(self._target, parcel_of_change(errand))
        return _Delivery(self._target, parcel_of_claim(errand, self._archive(errand)))

    def close(self) -> None:
        """Targets keep no connections."""


class _Delivery:
    words: Words | None = None

    def __init__(self, target: Target, parcel: Parcel) -> None:
        self._target = target
        self._parcel = parcel

    def finish(self) -> str:
        try:
            return self._target.deliver(self._parcel)
        except RefusedError as error:
            # Nobody else can take it: what is wrong there has to be put right.
            raise NotNowError(f"it is not taken: {error.code or error.outcome.result}") from error

    def drop(self) -> None:
        """Nothing was handed over yet."""


def archive_by_itself(settings: Settings, step: DunningStep) -> bytes:
    """The dossier of a claim, made by a process of its own: it reads a part of the journal, which
    takes computing time that decisions on orders in this one would wait for.

    Raises:
        NotNowError: it could not be made.
    """
    with tempfile.TemporaryDirectory(prefix="headroom-dossier-") as directory:
        path = Path(directory) / "dossier.zip"
        command = [
            *(sys.executable, "-m", "agents.cli.main", "dunning", "dossier", step.step_id),
            *("--customer", step.customer_id, "--to", str(path)),
        ]
        try:
            subprocess.run(
                command,
                env={**os.environ, **_environment(settings)},
                capture_output=True,
                timeout=_ARCHIVE_SECONDS,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise NotNowError(f"no dossier after {_ARCHIVE_SECONDS:.0f} s") from error
        except subprocess.CalledProcessError as error:
            # What it said may quote what it read.
            raise NotNowError(
                f"no dossier could be made (exit status {error.returncode});"
                f" `headroom dunning dossier {step.step_id}` says why"
            ) from error
        return path.read_bytes()


def _environment(settings: Settings) -> Mapping[str, str]:
    """What this process has found out besides its own environment."""
    return (
        {}
        if settings.kafka_bootstrap is None
        else {"HEADROOM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap}
    )
