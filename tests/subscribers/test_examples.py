"""What a stranger copies from docs/examples decodes every golden value, whatever it is made of."""

from __future__ import annotations

import json
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from subscribers.examples import EXAMPLES, LANGUAGES, ROOT, SCHEMAS, Command

from schemas import records
from streams.embedded.maven import ROOTS


def _golden(command: Command, schemas: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "golden", schemas], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_golden_values_are_read_and_a_wrong_one_is_noticed(
    command_of: Callable[[str], Command], language: str, tmp_path: Path
) -> None:
    done = _golden(command_of(language), SCHEMAS)
    assert done.returncode == 0, done.stderr
    count = len(records.locked())
    assert done.stdout == f"{count} golden values are read as they should be\n"

    for name in ("ids.lock.json", "released"):
        (tmp_path / name).symlink_to(SCHEMAS / name)
    (tmp_path / "golden").mkdir()
    wrong = json.loads((SCHEMAS / "golden" / "OrderDecision.json").read_bytes())
    wrong["examples"][-1]["record"]["amount"] += 1
    (tmp_path / "golden" / "OrderDecision.json").write_text(json.dumps(wrong))
    noticed = _golden(command_of(language), tmp_path)
    assert noticed.returncode == 1
    assert "OrderDecision.json, version 2" in noticed.stderr


def test_the_tests_run_what_the_projects_name() -> None:
    """The jars of the tests are the pom's; Python's bounds are our own."""
    pom = ET.parse(EXAMPLES / "java" / "pom.xml")  # noqa: S314  our own
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    named = {
        ":".join(
            one.findtext(f"m:{part}", "", space) for part in ("groupId", "artifactId", "version")
        )
        for one in pom.iterfind(".//m:dependency", space)
    }
    locked = {root.removesuffix(":jar:") for root in ROOTS["subscriber"]}
    assert named == {one for one in locked if not one.startswith("org.eclipse.jdt:ecj:")}
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    asked = (EXAMPLES / "python" / "requirements.txt").read_text().split()
    assert set(asked) <= {one.replace("[schemaregistry]", "") for one in ours}


@pytest.mark.parametrize("project", ["docs/asyncapi", "docs/examples/typescript"])
def test_lock_files_name_no_registry(project: str) -> None:
    """A lock file holds to hashes; where packages come from is the business of whoever installs."""
    lock = json.loads((ROOT / project / "package-lock.json").read_bytes())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages
    assert all("resolved" not in one for one in packages.values())
    assert all("integrity" in one for one in packages.values())
