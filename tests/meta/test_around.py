"""What stands around the katas: workflows, issue forms, the editor's settings, how to cite."""

import json
import re
import subprocess
import sys
import tomllib

import pytest

from dojo import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def fits(schema, *files):
    """Whether files fit a published schema; check-jsonschema carries a copy of each, so that no network is needed."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_fit_the_published_schema_and_end_by_themselves():
    assert [path.stem for path in WORKFLOWS] == ["checks", "progress"]
    fits("vendor.github-workflows", *WORKFLOWS)
    fits("custom.github-workflows-require-timeout", *WORKFLOWS)


def test_issue_forms_fit_the_published_schema():
    assert FORMS
    fits("vendor.github-issue-forms", *FORMS)
    fits("vendor.github-issue-config", ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml")


def test_the_citation_fits_its_schema_and_states_the_version():
    fits("vendor.citation-file-format", ROOT / "CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_upstream_is_checked_on_every_system_and_python():
    text = (ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8")
    assert "os: [ubuntu-latest, macos-latest, windows-latest]" in text
    assert f"python: [{', '.join(map(json.dumps, PYTHONS))}]" in text
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert requires == ">=3.11,<3.15"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_exists(path):
    """Every tox environment and every dojo command that a workflow calls."""
    from dojo.cli import COMMANDS

    text = path.read_text(encoding="utf-8")
    environments = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert all(name in environments for name in re.findall(r"tox -e (\S+)", text))
    assert all(name in COMMANDS for name in re.findall(r"dojo ([a-z]+)", text))


@pytest.mark.parametrize(
    "name", [".vscode/settings.json", ".vscode/extensions.json", ".devcontainer/devcontainer.json"]
)
def test_settings_of_editors_are_json(name):
    assert json.loads((ROOT / name).read_text(encoding="utf-8"))


def test_the_editor_hides_the_answers_and_shows_the_tests():
    settings = json.loads((ROOT / ".vscode" / "settings.json").read_text(encoding="utf-8"))
    assert settings["python.testing.pytestEnabled"] is True
    assert settings["files.exclude"]["solutions"] is True
    assert settings["files.exclude"]["tests/**/*.mistakes.toml"] is True
    assert not any(pattern in ("tests", "katas", "docs") for pattern in settings["files.exclude"])
