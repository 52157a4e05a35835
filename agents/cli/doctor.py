"""`headroom doctor`: what is set, and whether all that Headroom needs is there and answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from agents.doctor.examination import examine
from agents.doctor.findings import Finding
from streams.errors import HeadroomError
from streams.settings import SettingLine, describe, load_settings

_VERSION = 1
"""Of the document that `--json` prints (docs/operations.md); a field that is added keeps it."""


class SomethingWrongError(HeadroomError):
    """At least one check failed; all findings have been printed."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Show every setting with value, default and unit, and check what Headroom needs: what is
    wrong, and what to do.

    Exit status 1 when something is wrong; a warning alone is no failure. Secrets are masked.
    """
    settings = load_settings()
    lines = describe(settings)
    findings = examine(settings)
    wrong = list(dict.fromkeys(one.check for one in findings if one.verdict == "wrong"))
    if as_json:
        document = {
            "version": _VERSION,
            "ok": not wrong,
            "settings": [asdict(line) for line in lines],
            "checks": [asdict(finding) for finding in findings],
        }
        typer.echo(json.dumps(document, indent=1))
    else:
        _print(lines, findings)
    if wrong:
        raise SomethingWrongError(f"something is wrong: {', '.join(wrong)}")


def _print(lines: list[SettingLine], findings: list[Finding]) -> None:
    width = max(len(line.name) for line in lines)
    for line in lines:
        value = "-" if line.value is None else line.value
        unit = f" {line.unit}" if line.unit and line.value is not None else ""
        typer.echo(f"{line.name:{width}}  {value}{unit}")
        default = "none" if line.default is None else line.default
        origin = "set" if line.source == "environment" else "default"
        typer.echo(f"{'':{width}}    {origin}; default {default}. {line.description}.")
    typer.echo()
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        typer.echo(f"{finding.verdict:7}  {finding.check:{width}}  {finding.text}")
        if finding.do:
            typer.echo(f"{'':7}  {'':{width}}  → {finding.do}")
