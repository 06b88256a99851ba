"""The difference of two results as Markdown: what it says of commits of a git repository, and that it stays a table."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from skline.changes import markdown
from skline.changes.results import TEST_PART, Results, read_results
from skline.errors import SklineError
from tests.fixtures.demo import ROOT
from tests.fixtures.small_project import commit, git

FILES = ("params.yaml", "dvc.lock", "artifact.sha256", "engine.json")
REPORTS = ("evaluation", "lineage", "metrics", "split", "validation", "verdict")


def edit(path: Path, *keys: str | int, value: object) -> None:
    """Replace a value in a file of YAML or JSON."""
    content = yaml.safe_load(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The demo's results in a git repository, with the tag `base` at its commit."""
    (tmp_path / "reports").mkdir()
    for name in (*FILES, *(f"reports/{name}.json" for name in REPORTS)):
        shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "-q")
    commit(tmp_path, "base")
    git(tmp_path, "tag", "base")
    return tmp_path


def rendered(text: str) -> str:
    """Return Markdown as HTML."""
    return MarkdownIt("commonmark").enable("table").render(text)


def deps_of(root: Path, stage: str) -> list[dict[str, Any]]:
    deps: list[dict[str, Any]] = yaml.safe_load((root / "dvc.lock").read_text())["stages"][stage]["deps"]
    return deps


def describe(root: Path, base: str, head: str | None, report: str | None = None) -> str:
    return markdown.describe_changes(read_results(root, base), read_results(root, head), report)


def test_equal_commits_have_no_difference(repository: Path) -> None:
    text = describe(repository, "base", "HEAD")
    assert "The artifact is the same." in text
    assert text.count("No difference.") == 3
    assert not re.search(r"\((better|worse)\)", text)


@pytest.mark.parametrize("is_committed", [True, False])
def test_each_kind_of_change_is_in_its_section(repository: Path, is_committed: bool) -> None:
    edit(repository / "params.yaml", "train", "params", "model__max_iter", value=200)
    edit(repository / "reports/metrics.json", "model", "roc_auc", value=0.69075)
    edit(repository / "reports/metrics.json", "model", "brier", value=0.13897)
    edit(repository / "reports/lineage.json", "rows", value=400_000)
    edit(repository / "reports/verdict.json", "gates", 3, "passed", value=False)
    edit(repository / "dvc.lock", "stages", "ingest", "deps", 0, "md5", value="f" * 32)
    [place] = [n for n, each in enumerate(deps_of(repository, "evaluate")) if each["path"] == TEST_PART]
    edit(repository / "dvc.lock", "stages", "evaluate", "deps", place, "md5", value="e" * 32)
    edit(repository / "engine.json", "stages", "train", value="d" * 16)
    (repository / "artifact.sha256").write_text("a" * 64 + "\n")
    if is_committed:
        commit(repository, "head")
    text = describe(repository, "base", "HEAD" if is_committed else None, "https://example.invalid/report.html")
    sections = {part.partition("\n")[0]: part for part in text.split("\n### ")[1:]}
    assert "Must not be released: 1 of" in text
    assert "→ `aaaaaaaaa`." in text
    assert "[Report](<https://example.invalid/report.html>)" in text
    assert "| passed | **failed** | brier is" in sections["Gates"]
    assert re.search(r"\| ROC AUC \| 0.6707 \| 0.690\d \| \+0.0200 \(better\) \|", sections["Metrics"])
    assert "| Brier score | 0.1290 | 0.1390 | +0.0100 (worse) |" in sections["Metrics"]
    assert "The test rows differ" in sections["Metrics"]
    assert "| `train.params.model__max_iter` | `120` | `200` |" in sections["Settings"]
    assert "| `rows` | `336776` | `400000` |" in sections["Data"]
    assert "| `data/source` | `352b8a7c6` | `fffffffff` |" in sections["Inputs"]
    assert "| `skline stage train` |" in sections["Inputs"]
    assert rendered(text).count("<table>") == 5


def test_project_without_results_is_described(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("project: {name: churn}\n")
    git(tmp_path, "init", "-q")
    commit(tmp_path, "base")
    text = describe(tmp_path, "HEAD", None)
    assert "There is no verdict." in text
    assert "There are no metrics." in text


@pytest.mark.parametrize("revision", ["absent", "--output=here", "HEAD:params.yaml"])
def test_what_is_no_commit_is_an_error(repository: Path, revision: str) -> None:
    with pytest.raises(SklineError, match="git has no commit"):
        read_results(repository, revision)


def test_file_that_cannot_be_read_is_named(repository: Path) -> None:
    (repository / "reports/verdict.json").write_text("{")
    with pytest.raises(SklineError, match=r"^reports/verdict.json of working tree cannot be read: "):
        read_results(repository, None)


def results(name: str, **fields: Any) -> Results:
    mappings: dict[str, Any] = {key: {} for key in ("params", "metrics", "intervals", "labels", "data", "inputs")}
    return Results(**mappings | {"name": name, "verdict": None, "test_part": None, "artifact": None} | fields)


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1, max_size=5))
def test_no_value_breaks_a_table(values: dict[str, str]) -> None:
    lines = markdown.changed_values({}, values)
    html = rendered("\n".join(lines))
    assert html.count("<tr>") == len(values) + 1
    assert html.count("<td>") == 3 * len(values)
    assert html.count("<code>") == 2 * len(values)


@settings(max_examples=50)
@given(st.text())
def test_escaped_text_is_one_cell_of_plain_text(text: str) -> None:
    [_, _, row] = markdown.table(("a", "b"), [(markdown.escape(text), "end")])
    tags = set(re.findall(r"</?(\w+)", rendered(f"| a | b |\n| --- | --- |\n{row}")))
    assert tags <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert not re.search(r"[@#]\w", row)


def test_long_body_is_cut_to_what_github_takes() -> None:
    many = {f"name {number} {'n' * 200}": "v" * 1000 for number in range(1000)}
    text = markdown.describe_changes(
        results("base"), results("head", params=many, data=many, inputs=many, metrics=dict.fromkeys(many, 1.0))
    )
    assert len(text) < 65_536
    assert "960 more differ" in text
