"""What stands around the katas: workflows, issue forms, the editor's settings, how to cite."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
from ruamel.yaml import YAML

from dojo import ROOT
from dojo.catalog import schedule
from dojo.catalog.curriculum import katas
from dojo.check import check_groups, check_release
from dojo.system import packages

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
    assert [path.stem for path in WORKFLOWS] == ["checks", "progress", "release"]
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


@pytest.mark.parametrize(
    ("named", "here"),
    [("", None), ("Katas/llm-katas", True), ("katas/llm-katas.git", True), ("learner/llm-katas", False)],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the runner's shell is bash")
def test_the_checks_run_only_where_pyproject_names_the_repository(tmp_path, named, here):
    """A copy that is not a fork, made from a template say, checks and releases nothing: it asks, and stops."""
    checks, release = (
        YAML(typ="safe").load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))["jobs"]
        for name in ("checks", "release")
    )
    asks, releases = checks.pop("upstream"), release["release"]
    assert all(job["needs"] == "upstream" and "needs.upstream.outputs.here" in job["if"] for job in checks.values())
    steps = releases["steps"]
    guarded = [step for step in steps[steps.index(asking(releases)) + 1 :] if "run" in step]
    assert len(guarded) == 2
    assert {step["if"] for step in guarded} == {"steps.ask.outputs.here == 'true'"}
    text = f'[project.urls]\nRepository = "https://github.com/{named}"\n' if named else "[project]\n"
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    for job, by_default in ((asks, "true"), (releases, "false")):
        output = tmp_path / f"output-{by_default}"
        environment = {**os.environ, "GITHUB_REPOSITORY": "katas/llm-katas", "GITHUB_OUTPUT": str(output)}
        subprocess.run(["bash", "-e", "-c", asking(job)["run"]], cwd=tmp_path, env=environment, check=True)
        expected = by_default if here is None else str(here).lower()
        assert output.read_text(encoding="utf-8") == f"here={expected}\n"


def asking(job):
    """The step of a job that asks whether this repository is the original."""
    return next(step for step in job["steps"] if step.get("id") == "ask")


@pytest.mark.parametrize(
    ("stated", "address"),
    [
        (
            '[project]\n[project.urls]\nRepository = "https://github.com/katas/llm-katas"\n',
            "https://github.com/katas/llm-katas",
        ),
        ('[project]\n[project.urls]\nRepository = "https://example.org/llm-katas.git"\n', ""),
        ("[project]\n", ""),
        ("[project", ""),
    ],
)
def test_the_address_of_the_repository_is_none_while_it_is_an_example(monkeypatch, tmp_path, stated, address):
    (tmp_path / "pyproject.toml").write_text(stated, encoding="utf-8")
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    assert packages.repository() == address


@pytest.mark.parametrize(
    ("heading", "notes"),
    [("## 0.2.0", "- New."), ("## 0.2.0 - 2027-01-31", "- New."), ("## 0.2.01", ""), ("## Unreleased", "")],
)
def test_the_notes_of_a_release_are_those_of_the_changelog(heading, notes):
    changelog = f"# Changelog\n\n## Unreleased\n\n- Later.\n\n{heading}\n\n- New.\n\n## 0.1.0\n\n- Old.\n"
    assert check_release.notes_of("0.2.0", changelog) == notes


def test_a_release_whose_versions_differ_is_refused(capsys):
    assert check_release.main(["v9.9.9"]) == 1
    assert capsys.readouterr().out.startswith("the tag is v9.9.9, and pyproject.toml has the version ")


@pytest.mark.parametrize("address", ["https://github.com/katas/llm-katas", ""])
def test_the_version_of_today_can_be_released_once_the_address_is_set(monkeypatch, capsys, address):
    monkeypatch.setattr(packages, "repository", lambda: address)
    code, told = check_release.main([]), capsys.readouterr().out
    assert (code, told.startswith("### ")) == ((0, True) if address else (1, False))
    assert bool(address) != ("Repository under [project.urls]" in told)


def test_the_schedules_and_answers_of_study_groups_are_those_of_the_curriculum(capsys):
    assert check_groups.main([]) == 0, capsys.readouterr().out


def test_weeks_are_no_longer_than_they_have_to_be():
    for weeks in (schedule.beside_the_book(), schedule.short_route()):
        longest = max(map(schedule.minutes, weeks))
        in_order = [kata for week in weeks for kata in week]
        assert in_order == sorted(in_order, key=katas().index)
        assert len(schedule._filled(in_order, longest - 5)) > len(weeks)
    assert (len(schedule.beside_the_book()), len(schedule.short_route())) == (8, 4)
