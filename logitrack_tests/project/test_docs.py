"""The documents agree with the project: links, decision records, settings, targets and paths that they name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from logitrack_tests.conftest import REPOSITORY

RECORDS = sorted((REPOSITORY / "docs" / "decisions").glob("[0-9]*.md"))
HEADINGS = ["Context", "Options", "Decision", "Consequences"]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def _documents() -> list[Path]:
    """Return every Markdown file of the repository: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [REPOSITORY / name for name in listed.splitlines() if (REPOSITORY / name).exists()]


def _without_code(text: str) -> str:
    """Return Markdown without fenced blocks and code spans, where brackets are not links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def _anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


DOCUMENTS = _documents()
GUIDES = [path for path in DOCUMENTS if path.name != "README.md" or path.parent != REPOSITORY]


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_relative_links_resolve(document: Path) -> None:
    """A link leads to a file of the repository and, with an anchor, to one of its headings."""
    broken = []
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", _without_code(document.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        path = (document.parent / file).resolve() if file else document
        in_repository = path.is_relative_to(REPOSITORY.resolve())
        if not in_repository or not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(target)
    assert broken == []


def test_the_documents_that_a_newcomer_looks_for_exist() -> None:
    """The link test walks over these files; an empty walk must not pass."""
    expected = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}
    expected |= {"docs/architecture.md", "docs/glossary.md", "docs/operations.md", "docs/decisions/README.md"}
    assert expected <= {_name(path) for path in DOCUMENTS}


def test_decision_records_are_numbered_without_gaps() -> None:
    """Records are 0001, 0002, … and each is in the index with its own title's number."""
    assert len(RECORDS) >= 12
    numbers = [int(path.name[:4]) for path in RECORDS]
    assert numbers == list(range(1, len(RECORDS) + 1))
    index = (REPOSITORY / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d{4}\]\(([^)]+)\)", index, flags=re.MULTILINE) == [path.name for path in RECORDS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_record_has_its_parts(record: Path) -> None:
    """A title with the record's number, a status, and the four headings in order, none of them empty."""
    text = record.read_text(encoding="utf-8")
    assert text.startswith(f"# {record.name[:4]}. ")
    assert re.search(r"^Status: (accepted|superseded by \[\d{4}\])", text, flags=re.MULTILINE)
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[1::2] == HEADINGS
    assert all(len(part.split()) >= 10 for part in parts[2::2])


@pytest.mark.parametrize("document", GUIDES, ids=_name)
def test_settings_that_a_document_names_exist(document: Path) -> None:
    """The README's table is the list of settings; `test_readme` compares it with the code."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `(LOGITRACK_\w+)`", readme, flags=re.MULTILINE))
    assert known
    if document.name == "CONTRIBUTING.md":
        known |= {"LOGITRACK_TEST_TLC"}  # of the tests, not a setting
    assert set(re.findall(r"\bLOGITRACK_\w+", document.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("document", [*GUIDES, *WORKFLOWS], ids=_name)
def test_make_targets_and_paths_that_a_document_names_exist(document: Path) -> None:
    """Targets are in the Makefile; `logitrack_…/…` names a folder, a file, or a module without its ending."""
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z./-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z./-]+)", text)) | set(re.findall(r"^(?: *run: )?make ([a-z./-]+)", text, re.M))
    assert named <= targets
    paths = set(re.findall(r"\blogitrack_(?:assets|service|tests)/[\w./-]*\w", text))
    missing = [path for path in paths if not any((REPOSITORY / f"{path}{end}").exists() for end in ("", ".py"))]
    assert missing == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=_name)
def test_a_workflow_is_bounded_and_pinned(workflow: Path) -> None:
    """Read permission only, one run for a branch, a time limit for each job, and a full version for each action."""
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert document["permissions"] == {"contents": "read"}
    assert "group" in document["concurrency"]
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 60
        actions = [step["uses"] for step in job["steps"] if "uses" in step]
        assert actions
        assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+\.\d+\.\d+", action) for action in actions)


def test_every_hook_runs_a_tool_of_the_project() -> None:
    """A commit downloads nothing: hooks are local, and programs come from `.venv`, whose versions are locked."""
    document = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in document["repos"]] == ["local"]
    for hook in document["repos"][0]["hooks"]:
        assert hook["language"] in ("system", "pygrep"), hook["id"]
        assert hook["language"] == "pygrep" or hook["entry"].startswith(".venv/bin/"), hook["id"]


@pytest.mark.parametrize(
    ("message", "accepted"),
    [
        ("feat(eta): correct predictions by hour\n", True),
        ("fix!: refuse short keys\n\nWhy: RFC 7518.\n", True),
        ("Merge branch 'main'\n", True),
        ("Correct predictions\n", False),
        ("feat: " + "x" * 70 + "\n", False),
    ],
)
def test_the_commit_message_hook(message: str, accepted: bool) -> None:
    """The pattern of the hook, matched as pre-commit does with `--multiline --negate`."""
    document = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hook = next(hook for hook in document["repos"][0]["hooks"] if hook["id"] == "conventional-commit")
    assert hook["args"] == ["--multiline", "--negate"]
    assert bool(re.search(hook["entry"], message, re.MULTILINE | re.DOTALL)) is accepted
