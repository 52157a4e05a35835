"""Pages as PDF."""

from __future__ import annotations

import subprocess
import sys

_PDF_SECONDS = 60.0


class UnprintableError(Exception):
    """No PDF can be made of a page."""


def pdf_of(page: str) -> bytes:
    """A page as PDF, made by a process of its own: it takes a second of computing time, which
    decisions on orders in this one would wait for.

    Raises:
        UnprintableError: with what was wrong.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "weasyprint", "--quiet", "-", "-"],
            input=page.encode(),
            capture_output=True,
            timeout=_PDF_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UnprintableError(f"no PDF after {_PDF_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise UnprintableError(said[-1] if said else f"exit status {error.returncode}") from error
    return done.stdout
