"""The check of the environment: what pyproject.toml requires, with groups and extras, is installed."""

from importlib.metadata import version
from pathlib import Path

import pytest

from skline.doctor import environment
from skline.doctor.pyproject import read_project, required
from tests.skline.doctor.conftest import edit, write


def libraries() -> tuple[str, str]:
    """Return level and message of the finding about libraries."""
    finding = environment.check()[-1]
    return finding.level, finding.message


def test_counts_requirements_of_extras_and_of_the_engine(project: Path) -> None:
    level, message = libraries()
    assert level == "ok"
    assert int(message.split()[0]) > 25, "joblib, pytest, skline, and what skline[serving] and skline[train] require"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"pytest>=9"', '"pytest>=99"', f"pytest is {version('pytest')}, but >=99 is required"),
        ('"pytest>=9"', '"pandera[no-such]"', "has no extra 'no-such'"),
        ('"skline[train]"', '"skline[monitor-of-tomorrow]"', "has no extra 'monitor-of-tomorrow'"),
        ('"pytest>=9"', '{include-group = "Other_Group"}', "no-such-library is not installed"),
        ('["pytest>=9"]', '[{include-group = "dev"}, "no-such-library"]', "no-such-library is not installed"),
        ('["serving", "train", "dev"]', '"all"', "no-such-library is not installed"),
        ('"joblib>=1.5"', '"prices[gpu]"', "no-such-accelerator is not installed"),
    ],
)
def test_reports_requirement_that_is_not_satisfied(project: Path, old: str, new: str, message: str) -> None:
    write("pyproject.toml", Path("pyproject.toml").read_text().replace(
        "[dependency-groups]\n",
        '[project.optional-dependencies]\ngpu = ["no-such-accelerator"]\n\n'
        '[dependency-groups]\nother-group = ["no-such-library"]\n',
    ))  # fmt: skip
    assert libraries()[0] == "ok", "the group is not installed by default"
    edit("pyproject.toml", old, new)
    level, text = libraries()
    assert level == "broken"
    assert message in text


def test_names_the_lock_if_it_pins_what_pyproject_does_not_allow(project: Path) -> None:
    installed = version("pytest")
    write("uv.lock", f'version = 1\n\n[[package]]\nname = "pytest"\nversion = "{installed}"\n')
    assert libraries()[0] == "ok"
    edit("pyproject.toml", '"pytest>=9"', '"pytest>=99"')
    finding = environment.check()[-1]
    assert finding.message == f"uv.lock is older than pyproject.toml: it pins pytest {installed}, but >=99 is required"
    assert finding.remedy == "uv lock, then uv sync"


def test_reports_requirement_of_the_engine_that_is_not_satisfied(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import distribution

    class Engine:
        version = "1.0"
        metadata = distribution("skline").metadata
        requires = ("numpy>=99", "no-such-library; extra == 'serving'", "no-such-other; extra == 'sql'")

    monkeypatch.setattr(environment, "distribution", lambda name: Engine if name == "skline" else distribution(name))
    level, message = libraries()
    assert level == "broken"
    assert "but >=99 is required" in message
    assert "no-such-library is not installed" in message
    assert "no-such-other" not in message


def test_markers_and_urls_of_requirements_are_understood(project: Path) -> None:
    edit("pyproject.toml", '"pytest>=9"', '''"no-such-library; sys_platform == 'never'"''')
    edit("pyproject.toml", '"skline[train]"', '"skline[train] @ git+https://example.invalid/skline@v1"')
    assert libraries()[0] == "ok"


def test_default_groups_are_dev_unless_named(project: Path) -> None:
    edit("pyproject.toml", 'default-groups = ["serving", "train", "dev"]\n', "")
    assert list(required(read_project())) == ["joblib>=1.5", "pytest>=9"]
