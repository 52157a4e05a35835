"""Directories: whether they can be written to, and whether there is room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from agents.doctor.findings import Finding
from streams.settings import Settings

_GIB = 1 << 30
_WRONG_BYTES = 1 * _GIB
_SHORT_BYTES = 5 * _GIB
_SHORT_SHARE = 0.10
_AMPLE_BYTES = 50 * _GIB
"""So much is not short, however large the disk."""
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def directory_findings(settings: Settings) -> Iterator[Finding]:
    """Where state, embedded parts and downloads are kept."""
    for name, directory in (
        ("state_dir", settings.state_dir),
        ("embedded_dir", settings.embedded_dir),
        ("cache_dir", settings.cache_dir),
    ):
        yield writable(name, directory)
    yield from _rooms(settings)


def writable(name: str, directory: Path) -> Finding:
    """Whether files can be made there, or in the nearest parent that exists."""
    there = nearest(directory)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding(name, "ok", str(directory.absolute()))
    text = f"nothing can be written to {there}"
    return Finding(name, "wrong", text, f"give this user the right, or set HEADROOM_{name.upper()}")


def nearest(directory: Path) -> Path:
    """The directory itself, or the nearest parent that exists."""
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    return there


def room(check: str, where: str, free: int, total: int) -> Finding:
    """Whether so many free bytes of so many are enough for days."""
    share = free / total if total else 0.0
    text = f"{free / _GIB:.1f} GiB free of {total / _GIB:.1f} ({share:.0%}) at {where}"
    do = "make room, or move it to a larger disk: what cannot be written stops"
    if free < _WRONG_BYTES:
        return Finding(check, "wrong", text, do)
    if free < _SHORT_BYTES or (share < _SHORT_SHARE and free < _AMPLE_BYTES):
        return Finding(check, "warning", text, do)
    return Finding(check, "ok", text)


def secret_file_findings(settings: Settings) -> Iterator[Finding]:
    """Files that the settings name: there, and a private key for its owner alone."""
    for name in ("kafka_ssl_ca_location", "sftp_known_hosts", "sftp_key"):
        path: Path | None = getattr(settings, name)
        if path is None:
            continue
        variable = f"HEADROOM_{name.upper()}"
        if not os.access(path, os.R_OK):
            yield Finding(name, "wrong", f"{path} cannot be read", f"see {variable}")
        elif name == "sftp_key" and path.stat().st_mode & _OF_OTHERS:
            text = f"{path} can be read by others than its owner"
            yield Finding(name, "warning", text, f"chmod 600 {path}")
        else:
            yield Finding(name, "ok", str(path))


def _rooms(settings: Settings) -> Iterator[Finding]:
    """One finding a disk: several directories may be on one."""
    seen: set[int] = set()
    for directory in (settings.state_dir, settings.embedded_dir):
        there = nearest(directory)
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(there)
        yield room("disk", str(there), usage.free, usage.total)
