"""`skline doctor` on projects that are broken in one place each: it names the place and the remedy."""

import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skline.contract.derive import derive
from skline.doctor import environment, leftovers, packaged, parameters, repository, table, tracking
from skline.doctor.finding import Finding
from skline.doctor.run import checks
from tests import demo

CONTRACT = '''"""Columns."""

from skline.contract.table import Table, column


class Inputs(Table):
    """What is known."""

    size: float = column("Size", example=1.0)


class Labelled(Inputs):
    """A row with its price."""

    price: float = column("Price", role="target")
'''
SOURCE = '''"""Columns of the source."""

READS: dict[str, type] = {}


def prepare(source):
    """Keep the table."""
    return source
'''
PARAMS = """project: {name: prices, title: Prices, intended_use: Tells prices.}
source: {uri: data/source/prices.csv}
validate: {}
split: {}
train: {seed: 1}
evaluate: {}
package: {}
register: {}
"""
DVC = "stages:\n  train: {cmd: 'true', params: [train, source], deps: [params.yaml], outs: [model.txt]}\n"


def git(*words: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small sound project, in git, as the current folder; its `model` is the one that is imported."""
    shutil.copy(demo.ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    files = {
        "params.yaml": PARAMS,
        "dvc.yaml": DVC,
        "src/model/__init__.py": "",
        "src/model/contract.py": CONTRACT,
        "src/model/source.py": SOURCE,
        "src/model/pipeline.py": "",
        "data/source/prices.csv": "size,price,other\n1,2,3\n",
        ".dvc/config": "[core]\n    analytics = false\n",
        ".copier-answers.yml": "_commit: v1.0.0\n_src_path: https://example.invalid/skline.git\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    pyproject = tmp_path / "pyproject.toml"
    kept = [line for line in pyproject.read_text().splitlines() if f'"{leftovers.DEMO}==' not in line]
    pyproject.write_text("\n".join(kept))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "src")
    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "model"}
    for name in ours:
        del sys.modules[name]
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "start")
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "model"]:
        del sys.modules[name]
    sys.modules.update(ours)


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def edit(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    write(name, text.replace(old, new))


def test_a_sound_project_has_nothing_broken(project: Path) -> None:
    found = {name: check() for name, check in checks().items()}
    levels = {name: {finding.level for finding in findings} for name, findings in found.items()}
    assert levels.pop("dvc") == levels.pop("artifact") == {"look"}  # the line has not run
    assert set().union(*levels.values()) == {"ok"}, found


Broken = tuple[Callable[[], object], Callable[[], list[Finding]], str, str, str]
BROKEN: dict[str, Broken] = {
    "another Python": (
        lambda: edit("pyproject.toml", 'requires-python = ">=3.11"', 'requires-python = ">=3.99"'),
        environment.check, "broken", "asks for >=3.99", "uv sync --python 3.99",
    ),
    "a password for all to read": (
        lambda: edit("params.yaml", "data/source/prices.csv", "postgresql://ann:secret@h/db, query: TABLE t"),
        parameters.check, "broken", "source.uri holds a password", "correct it in params.yaml",
    ),
    "an old library": (
        lambda: edit("pyproject.toml", '"joblib>=1.5"', '"joblib>=99"'),
        environment.check, "broken", "joblib is", "uv sync",
    ),
    "a library that is not there": (
        lambda: edit("pyproject.toml", '"joblib>=1.5"', '"no-such-library>=1"'),
        environment.check, "broken", "no-such-library is not installed", "uv sync",
    ),
    "no git": (lambda: shutil.rmtree(".git"), repository.check_git, "broken", "no git repository", "git init"),
    "an edited contract": (
        lambda: edit("src/model/contract.py", "Size", "Length"),
        repository.check_git, "look", "src/model/contract.py", "git commit",
    ),
    "a merge left half-way": (
        lambda: edit("dvc.yaml", "stages:", "<<<<<<< before updating\nstages:"),
        repository.check_git, "broken", "a merge is not finished in dvc.yaml", "<<<<<<<",
    ),
    "a patch that did not fit": (
        lambda: write("dvc.yaml.rej", "+x"), repository.check_git, "broken", "dvc.yaml.rej", "delete",
    ),
    "no DVC": (lambda: shutil.rmtree(".dvc"), repository.check_dvc, "broken", "no .dvc/", "dvc init"),
    "a line that never ran": (lambda: None, repository.check_dvc, "look", "never run", "dvc repro"),
    "a lock that is behind": (
        lambda: write("dvc.lock", "schema: '2.0'\n"), repository.check_dvc, "look", "behind: train", "dvc repro",
    ),
    "an unknown key": (
        lambda: edit("params.yaml", "seed", "sed"), parameters.check, "broken", "did you mean 'seed'", "params.yaml",
    ),
    "a section that DVC watches": (
        lambda: edit("params.yaml", "train: {seed: 1}\n", ""),
        parameters.check, "broken", "params.yaml lacks train", "`train: {}`",
    ),
    "no title": (
        lambda: edit("params.yaml", "title: Prices, ", ""), parameters.check, "look", "project.title", "params.yaml",
    ),
    "a contract that cannot be imported": (
        lambda: edit("src/model/contract.py", "class Inputs", "clas Inputs"),
        table.check, "broken", "contract.py cannot be imported: SyntaxError", "correct",
    ),
    "a contract without a target": (
        lambda: edit("src/model/contract.py", ', role="target"', ""),
        table.check, "broken", "exactly one column", "contract.py",
    ),
    "a source without a column": (
        lambda: write("data/source/prices.csv", "sise,price\n1,2\n"),
        table.check, "broken", "'size' (it has 'sise')", "the source",
    ),
    "no source": (
        lambda: Path("data/source/prices.csv").unlink(), table.check, "broken", "there is no file", "params.yaml",
    ),
    "a prepare() that wants rows": (
        lambda: edit("src/model/source.py", "return source", "return source.assign(x=source['size'].iloc[0])"),
        table.check, "look", "prepare()", "columns as a whole",
    ),
    "data read by another contract": (
        lambda: write("data/contract.json", "{}"), table.check, "look", "has changed since", "dvc repro",
    ),
    "the code of another folder": (
        lambda: shutil.move("src", "elsewhere") and sys.path.insert(0, "elsewhere"),
        table.check, "broken", "elsewhere", "uv sync",
    ),
    "no artifact": (lambda: None, packaged.check, "look", "no artifact", "dvc repro"),
    "an artifact without its digest": (
        lambda: Path("artifact").mkdir(), packaged.check, "broken", "artifact.sha256", "dvc repro",
    ),
    "a broken store": (
        lambda: write("mlflow.db", "x" * 4096), tracking.check, "broken", "mlflow.db does not answer", "restore",
    ),
    "a store that MLflow refuses": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: mlruns}"),
        tracking.check, "broken", "plain folder", "sqlite",
    ),
    "a server that is down": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: 'http://127.0.0.1:9'}"),
        tracking.check, "broken", "http://127.0.0.1:9 does not answer", "start it",
    ),
    "a database that is down": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: 'postgresql://u:secret@127.0.0.1:9/m'}"),
        tracking.check, "broken", "postgresql at 127.0.0.1", "start it",
    ),
    "the demo's package": (
        lambda: edit("pyproject.toml", "train = [", f'train = [\n    "{leftovers.DEMO}==0.0.3",'),
        leftovers.check, "look", "asks for the demo's package", "uv remove",
    ),
    "the demo's results": (
        lambda: write("dvc.lock", f"uri: package:{leftovers.DEMO}"), leftovers.check, "look", "dvc.lock", "dvc repro",
    ),
    "parts of the template": (
        lambda: write("copier.yml", ""), leftovers.check, "look", "copier.yml belong", "git rm -rq copier.yml",
    ),
    "no way for updates": (
        lambda: Path(".copier-answers.yml").unlink(),
        leftovers.check, "look", ".copier-answers.yml", "docs/template.md",
    ),
    "an update from a version that is nowhere": (
        lambda: write(".copier-answers.yml", "_commit: cd89ff6\n_src_path: .\n"),
        leftovers.check, "look", "the template . has no version cd89ff6", "docs/template.md",
    ),
    "an update from nowhere": (
        lambda: write(".copier-answers.yml", "{}\n"),
        leftovers.check, "look", "does not say which version", "docs/template.md",
    ),
    "a demo that nobody replaced": (
        lambda: edit("params.yaml", "data/source/prices.csv", f"package:{leftovers.DEMO}/x.csv"),
        leftovers.check, "look", "still the template's demo", "skline init",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_with_its_remedy(case: str) -> None:
    breaking, check, level, what, remedy = BROKEN[case]
    breaking()
    found = check()
    assert any(f.level == level and what in f.what and remedy in f.remedy for f in found), found
    assert "secret" not in str(found)


@pytest.mark.usefixtures("project")
def test_a_driver_that_is_not_installed_is_missed_before_the_line_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    edit("params.yaml", "data/source/prices.csv", "postgresql://h/db, query: TABLE t")
    assert [finding.level for finding in table.check()] == ["ok"]
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    assert [finding.remedy for finding in table.check()] == ["uv sync --group sql"]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("version", ["HEAD", "v1"])
def test_a_version_that_the_template_has_is_sound(version: str) -> None:
    git("tag", "v1")
    write(".copier-answers.yml", f"_commit: {version}\n_src_path: .\n")
    assert [finding.level for finding in leftovers.check()] == ["ok"]


def test_a_file_of_the_demo_is_known_by_its_bytes(project: Path) -> None:
    import hashlib

    sha = hashlib.sha256((project / "src/model/contract.py").read_bytes()).hexdigest()
    files = {"src/model/contract.py": sha, "src/model/source.py": "0" * 64}
    write("src/model/placeholders.json", json.dumps({"demo": True, "files": files}))
    [finding] = leftovers.check()
    assert finding.what == "src/model/contract.py is still the demo's"


def test_settings_that_an_update_brought_are_listed_with_default_and_meaning(project: Path) -> None:
    before = (demo.ROOT / "src/skline/settings.py").read_text().replace("    golden_rows:", "    golden:")
    write("src/skline/settings.py", before)
    git("add", "-A")
    edit("params.yaml", "seed: 1", "seed: 2")
    git("commit", "-qam", "the template of then")
    write("src/skline/settings.py", (demo.ROOT / "src/skline/settings.py").read_text())
    [finding] = [finding for finding in parameters.check() if finding.level != "ok"]
    [line] = [line for line in finding.details if "golden" in line]
    assert line.startswith("train.golden_rows: 64   Validation rows")
    assert finding.level == "look"
    write("copier.yml", "")  # the template itself, with its demo, gets no updates
    edit("params.yaml", "data/source/prices.csv", f"package:{leftovers.DEMO}/x.csv")
    assert {finding.level for finding in parameters.check()} == {"ok"}


def test_an_artifact_is_held_against_its_digest_and_the_libraries(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = derive_small(project)
    assert packaged.check()[0].level == "ok"
    here = packaged.library_versions()
    for name, version, level in (("numpy", "1.2.3", "look"), ("scikit-learn", "0.1.0", "broken")):
        monkeypatch.setattr(packaged, "library_versions", lambda n=name, v=version: here | {n: v})
        [finding] = packaged.check()
        assert (finding.level, f"(here {version})" in finding.what) == (level, True)
    (project / "artifact/model_card.md").write_text("changed")
    [finding] = packaged.check()
    assert finding.level == "broken"
    assert "model_card.md" in finding.what
    assert made


def derive_small(project: Path) -> str:
    """Package a small pipeline as the project's artifact."""
    import numpy as np
    import pandas as pd
    from sklearn.dummy import DummyRegressor
    from sklearn.pipeline import make_pipeline

    from skline.contract.table import Table, column

    class Inputs(Table):
        """What is known."""

        size: float = column("Size", example=1.0)

    class Labelled(Inputs):
        """A row with its price."""

        price: float = column("Price", role="target")

    frame = pd.DataFrame({"size": np.arange(4.0)})
    fitted = make_pipeline(DummyRegressor()).fit(frame, np.arange(4.0))
    rows = [{"size": 1.0}, {"size": 2.0}]
    made = demo.package(project / "artifact", fitted, derive(Inputs, Labelled, {}), rows)
    write("artifact.sha256", made.digest + "\n")
    return made.digest


def test_a_store_and_a_server_that_answer_are_sound(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect("mlflow.db")) as store:
        store.execute("create table runs (lifecycle_stage text)")
    assert tracking.check()[0] == Finding("ok", "MLflow's store mlflow.db has 0 runs")

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
            self.send_response(200 if self.path == "/health" and known else 403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for name, level in (("user:secret@", "ok"), ("user:wrong@", "broken"), ("", "broken")):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{name}127.0.0.1:{server.server_port}")
            [finding] = tracking.check()
            assert finding.level == level, finding
            assert "secret" not in str(finding)
        server.shutdown()


def test_the_command_ends_with_a_status_for_machines(project: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(project / "src")}
    env.pop("MLFLOW_TRACKING_URI", None)

    def doctor(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "skline.cli", "doctor", *words]
        return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)

    (project / "data/source/prices.csv").write_text("size,cost\n1,2\n")
    done = doctor("--json")
    assert done.returncode == 1
    assert done.stderr == "error: 1 thing is broken\n"
    [broken] = [finding for finding in json.loads(done.stdout) if finding["level"] == "broken"]
    assert (broken["check"], "'price'" in broken["what"]) == ("contract", True)
    (project / "data/source/prices.csv").write_text("size,price\n1,2\n")
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    assert "look    dvc" in done.stdout
