"""What docs/examples and docs/asyncapi are made of; test_examples_connected.py runs the former."""

from __future__ import annotations

import json
import tomllib
import xml.etree.ElementTree as ET

import pytest
from subscribers.examples import EXAMPLES, ROOT

from streams.embedded.maven import ROOTS


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
