"""`skline doctor` on a sound project, and on projects with one problem each."""

import hashlib
import http.server
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from skline import engine, paths
from skline.contract.derive import derive, derive_module
from skline.doctor import artifact as artifact_check
from skline.doctor import contract as contract_check
from skline.doctor import (
    environment,
    parameters,
    repository,
)
from skline.doctor import (
    mlflow as mlflow_check,
)
from skline.doctor import (
    releases as releases_check,
)
from skline.doctor import (
    template as template_check,
)
from skline.doctor.findings import Finding
from skline.doctor.run import CHECKS
from skline.release.services import ServiceState, StatusFile
from skline.release.verdict import GateResult, Verdict
from skline.settings import Settings
from skline.settings.source import with_source_format
from tests.fixtures import demo
from tests.fixtures.registry import copy_empty_registry
from tests.skline.doctor.conftest import edit, git, write
from tests.skline.registry.halfway import create_first_tables

FAILED_VERDICT = Verdict(
    artifact_sha256="a" * 64, gates=(GateResult(gate="floor roc_auc", passed=False, reason="0.61, at least 0.62"),)
).model_dump_json()


def test_finds_no_problem_in_a_sound_project(project: Path) -> None:
    results = {name: check() for name, check in CHECKS.items()}
    levels = {name: {finding.level for finding in findings} for name, findings in results.items()}
    assert levels.pop("dvc") == levels.pop("artifact") == {"warning"}  # the pipeline has not run
    assert set().union(*levels.values()) == {"ok"}, results


#: Change that causes the problem, check, and the finding: its level, a part of its message, a part of its remedy.
Problem = tuple[Callable[[], object], Callable[[], list[Finding]], str, str, str]
PROBLEMS: dict[str, Problem] = {
    "Python out of bounds": (
        lambda: edit("pyproject.toml", 'requires-python = ">=3.11"', 'requires-python = ">=3.99"'),
        environment.check, "broken", "requires >=3.99", "uv sync --python 3.99",
    ),
    "password in the source": (
        lambda: edit("params.yaml", "data/source/prices.csv", "postgresql://ann:secret@h/db, query: TABLE t"),
        parameters.check, "broken", "source.uri holds a password", "correct it in params.yaml",
    ),
    "library out of bounds": (
        lambda: edit("pyproject.toml", '"joblib>=1.5"', '"joblib>=99"'),
        environment.check, "broken", "joblib is", "uv sync",
    ),
    "library not installed": (
        lambda: edit("pyproject.toml", '"joblib>=1.5"', '"no-such-library>=1"'),
        environment.check, "broken", "no-such-library is not installed", "uv sync",
    ),
    "no repository": (
        lambda: shutil.rmtree(".git"), repository.check_git, "broken", "not a git repository", "git init",
    ),
    "uncommitted contract": (
        lambda: edit("src/model/contract.py", "Size", "Length"),
        repository.check_git, "warning", "src/model/contract.py", "git commit",
    ),
    "unfinished merge": (
        lambda: edit("dvc.yaml", "stages:", "<<<<<<< before updating\nstages:"),
        repository.check_git, "broken", "a merge is not finished in dvc.yaml", "<<<<<<<",
    ),
    "rejected patch": (
        lambda: write("dvc.yaml.rej", "+x"), repository.check_git, "broken", "dvc.yaml.rej", "delete",
    ),
    "DVC not initialized": (lambda: shutil.rmtree(".dvc"), repository.check_dvc, "broken", "no .dvc/", "dvc init"),
    "pipeline has never run": (lambda: None, repository.check_dvc, "warning", "has never run", "dvc repro"),
    "lock out of date": (
        lambda: write("dvc.lock", "schema: '2.0'\n"),
        repository.check_dvc, "warning", "out of date: train", "dvc repro",
    ),
    "unknown parameter": (
        lambda: edit("params.yaml", "seed", "sed"), parameters.check, "broken", "did you mean 'seed'", "params.yaml",
    ),
    "missing section": (
        lambda: edit("params.yaml", "train: {seed: 1}\n", ""),
        parameters.check, "broken", "params.yaml lacks train", "`train: {}`",
    ),
    "missing setting that a stage depends on": (
        lambda: edit("dvc.yaml", "params: [train, source]", "params: [train.search, train.weights, train.golden_rows]"),
        parameters.check, "broken", "params.yaml lacks train.golden_rows, train.search, train.weights",
        "`golden_rows: 64` in `train` and `search: {}` in `train` and `weights: {}` in `train`",
    ),
    "no title of the project": (
        lambda: edit("params.yaml", "title: Prices, ", ""), parameters.check, "warning", "project.title", "params.yaml",
    ),
    "contract with a syntax error": (
        lambda: edit("src/model/contract.py", "class Inputs", "clas Inputs"),
        contract_check.check, "broken", "contract.py cannot be imported: SyntaxError", "correct",
    ),
    "contract without target": (
        lambda: edit("src/model/contract.py", ', role="target"', ""),
        contract_check.check, "broken", "exactly one column", "contract.py",
    ),
    "typo in the pipeline": (
        lambda: edit("src/model/pipeline.py", "(DummyRegressor", "(DumyRegressor"),
        contract_check.check, "broken", "build_pipeline() in src/model/pipeline.py fails: NameError", "correct it",
    ),
    "classifier for a number": (
        lambda: edit("src/model/pipeline.py", "DummyRegressor", "DummyClassifier"),
        contract_check.check, "broken", "DummyClassifier in src/model/pipeline.py is no regressor", "src/model",
    ),
    "no pipeline": (
        lambda: write("src/model/pipeline.py", ""),
        contract_check.check, "broken", "has no attribute 'build_pipeline'", "correct it",
    ),
    "missing column of the source": (
        lambda: write("data/source/prices.csv", "sise,price\n1,2\n"),
        contract_check.check, "broken", "'size' (it has 'sise')", "the source",
    ),
    "missing source": (
        lambda: Path("data/source/prices.csv").unlink(),
        contract_check.check, "broken", "there is no file", "params.yaml",
    ),
    "prepare() fails without rows": (
        lambda: edit("src/model/source.py", "return source", "return source.assign(x=source['size'].iloc[0])"),
        contract_check.check, "warning", "prepare()", "whole columns",
    ),
    "contract changed after reading the data": (
        lambda: write("data/contract.json", "{}"), contract_check.check, "warning", "has changed since", "dvc repro",
    ),
    "code of another folder": (
        lambda: shutil.move("src", "elsewhere") and sys.path.insert(0, "elsewhere"),
        contract_check.check, "broken", "elsewhere", "without PYTHONPATH",
    ),
    "missing artifact": (lambda: None, artifact_check.check, "warning", "no artifact", "dvc repro"),
    "model that failed a gate": (
        lambda: write("reports/verdict.json", FAILED_VERDICT),
        artifact_check.check, "warning", "rejected the newest model aaaaaaaaaaaa: floor roc_auc: 0.61, at least 0.62",
        "change the model or the limits",
    ),
    "artifact without digest": (
        lambda: Path("artifact").mkdir(), artifact_check.check, "broken", "artifact.sha256", "dvc repro",
    ),
    "corrupt MLflow store": (
        lambda: write("mlflow.db", "x" * 4096), mlflow_check.check, "broken", "mlflow.db cannot be read", "restore",
    ),
    "MLflow store that was created halfway": (
        lambda: create_first_tables(Path("mlflow.db")),
        mlflow_check.check, "broken", "mlflow.db is incomplete", "rm mlflow.db",
    ),
    "MLflow store in a folder": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: mlruns}"),
        mlflow_check.check, "broken", "plain folder", "sqlite",
    ),
    "MLflow server down": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: 'http://127.0.0.1:9'}"),
        mlflow_check.check, "broken", "http://127.0.0.1:9 cannot be reached", "start it",
    ),
    "MLflow database down": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: 'postgresql://u:secret@127.0.0.1:9/m'}"),
        mlflow_check.check, "broken", "postgresql at 127.0.0.1", "start it",
    ),
    "MLflow database with an invalid port": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: 'postgresql://u:secret@h:54x2/m'}"),
        mlflow_check.check, "broken", "a port is a number", "correct MLFLOW_TRACKING_URI",
    ),
    "MLflow server with an invalid host": (
        lambda: edit("params.yaml", "register: {}", "register: {tracking_uri: 'http://u:secret@[::1'}"),
        mlflow_check.check, "broken", "an IPv6 address is in brackets", "correct MLFLOW_TRACKING_URI",
    ),
    "record of registered versions with a cut line": (
        lambda: write("releases/registered.jsonl", '{"format": 1'),
        releases_check.check, "warning", "lines that cannot be read: 1", "dvc repro -sf register",
    ),
    "record of registered versions that git ignores": (
        lambda: write("releases/.gitignore", "*"),
        releases_check.check, "warning", "git ignores releases/registered.jsonl", ".gitignore",
    ),
    "status of services that DVC does not ignore": (
        lambda: write(".dvcignore", "releases/registered.jsonl") or write("releases/release.json", "{}"),
        releases_check.check, "warning", ".dvcignore lacks releases/services", "copier update",
    ),
    "artifact of which a killed command fetched a part": (
        lambda: write("releases/artifacts/.fetching.x/artifact/manifest.json", "{"),
        releases_check.check, "warning", "left parts of artifacts: releases/artifacts/.fetching.x", "skline promote",
    ),
    "package of the demo": (
        lambda: edit("pyproject.toml", "train = [", f'train = [\n    "{template_check.DEMO_PACKAGE}==0.0.3",'),
        template_check.check, "warning", "requires the demo's package", "uv remove",
    ),
    "results of the demo": (
        lambda: write("dvc.lock", f"uri: package:{template_check.DEMO_PACKAGE}"),
        template_check.check, "warning", "dvc.lock", "dvc repro",
    ),
    "files of the template": (
        lambda: write("copier.yml", ""),
        template_check.check, "warning", "nothing uses copier.yml", "docs/template.md of skline",
    ),
    "files of the template in a clone": (
        lambda: edit("pyproject.toml", '"prices"', '"skline"') or write("copier.yml", ""),
        template_check.check, "warning", "only the template needs copier.yml", "git rm -rq copier.yml",
    ),
    "copy of the engine": (
        lambda: write("src/skline/cli.py", ""),
        template_check.check, "warning", "nothing uses src/skline", "docs/template.md of skline",
    ),
    "no answers for updates": (
        lambda: Path(".copier-answers.yml").unlink(),
        template_check.check, "warning", ".copier-answers.yml", "docs/template.md",
    ),
    "updates from a missing version": (
        lambda: write(".copier-answers.yml", "_commit: cd89ff6\n_src_path: .\n"),
        template_check.check, "warning", "the template . has no version cd89ff6", "docs/template.md",
    ),
    "updates from no version": (
        lambda: write(".copier-answers.yml", "{}\n"),
        template_check.check, "warning", "does not name the version", "docs/template.md",
    ),
    "demo not replaced": (
        lambda: edit("params.yaml", "data/source/prices.csv", f"package:{template_check.DEMO_PACKAGE}/x.csv"),
        template_check.check, "warning", "still the template's demo", "skline init",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("case", PROBLEMS)
def test_reports_problem_with_its_remedy(case: str) -> None:
    cause, check, level, message, remedy = PROBLEMS[case]
    cause()
    findings = check()
    assert any(f.level == level and message in f.message and remedy in f.remedy for f in findings), findings
    assert "secret" not in str(findings)


@pytest.mark.usefixtures("project")
def test_invalid_params_are_no_fault_of_the_contract() -> None:
    edit("params.yaml", "prices.csv}", "prices.csv, missing: [none]}")
    contract = with_source_format(derive_module(importlib.import_module("model.contract")), Settings.load().source)
    write("data/contract.json", contract.to_json())
    assert contract_check.check()[0].message.startswith("the contract describes the data")
    edit("params.yaml", "seed", "sed")
    [finding] = contract_check.check()
    assert finding.level == "ok"
    assert "params.yaml is not valid" in finding.message


@pytest.mark.usefixtures("project")
def test_reports_missing_database_driver_before_the_pipeline_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    edit("params.yaml", "data/source/prices.csv", "postgresql://h/db, query: TABLE t")
    assert [finding.level for finding in contract_check.check()] == ["ok"]
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    assert [finding.remedy for finding in contract_check.check()] == ["uv add --group train 'skline[sql]'"]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("version", ["HEAD", "v1"])
def test_accepts_version_that_the_template_has(version: str) -> None:
    git("tag", "v1")
    write(".copier-answers.yml", f"_commit: {version}\n_src_path: .\n")
    assert [finding.level for finding in template_check.check()] == ["ok"]


def test_recognizes_file_of_the_demo_by_its_bytes(project: Path) -> None:
    import hashlib

    sha = hashlib.sha256((project / "src/model/contract.py").read_bytes()).hexdigest()
    files = {"src/model/contract.py": sha, "src/model/source.py": "0" * 64}
    write("src/model/placeholders.json", json.dumps({"demo": True, "files": files}))
    [finding] = template_check.check()
    assert finding.message == "src/model/contract.py is still the demo's"


def test_lists_new_settings_with_default_and_description_until_engine_json_is_committed(project: Path) -> None:
    current = engine.read_record()
    assert current is not None
    old = [key for key in current.settings if key not in ("train.golden_rows", "train.seed", "split.seed")]
    engine.write_record(current.model_copy(update={"settings": old}))
    git("commit", "-qam", "before the update")
    assert [line.partition(":")[0] for line in engine.sync()[1].split("; ")[:1]] == ["new settings"]
    [finding] = [finding for finding in parameters.check() if finding.level != "ok"]
    assert finding.level == "warning"
    assert finding.message.startswith("2 settings are new in this version of skline; params.yaml does not set them"), (
        "params.yaml sets train.seed"
    )
    assert [line.partition(":")[0] for line in finding.details] == ["split.seed", "train.golden_rows"]
    assert finding.details[1].startswith("train.golden_rows: 64   Validation rows")
    git("commit", "-qam", "after the update")
    assert {finding.level for finding in parameters.check()} == {"ok"}


@pytest.mark.parametrize("settings", [[], None])
def test_lists_no_settings_if_those_of_the_committed_engine_are_unknown(project: Path, settings: object) -> None:
    write("engine.json", json.dumps({"version": "1", "stages": {}, "settings": settings}))
    git("commit", "-qam", "without settings")
    assert {finding.level for finding in parameters.check()} == {"ok"}


def test_template_lists_no_new_settings(project: Path) -> None:
    write("engine.json", json.dumps({"version": "1", "stages": {}, "settings": ["train.seed"]}))
    git("commit", "-qam", "old")
    assert {finding.level for finding in parameters.check()} == {"ok", "warning"}
    write("copier.yml", "")  # the template itself, with its demo, gets no updates
    edit("params.yaml", "data/source/prices.csv", f"package:{template_check.DEMO_PACKAGE}/x.csv")
    assert {finding.level for finding in parameters.check()} == {"ok"}


def test_remedies_name_sections_that_the_page_has() -> None:
    page = (demo.ROOT / "docs/template.md").read_text()
    [section] = re.findall('"(.*)"', template_check.CONTAINS_ENGINE)
    assert f"\n## {section}\n" in page


def test_list_of_what_only_the_template_needs_is_complete() -> None:
    twins = {path.name for path in demo.ROOT.glob("*.jinja")} | {path.name for path in demo.ROOT.glob(".*.jinja")}
    assert twins | {"copier.yml", "tests/template"} == set(template_check.TEMPLATE_ONLY)
    assert [name for name in template_check.ENGINE_COPY if not (demo.ROOT / name).is_dir()] == []


def test_outputs_of_another_commit_are_one_finding_after_git_stash(project: Path) -> None:
    edit("dvc.yaml", "cmd: 'true'", "cmd: cp params.yaml model.txt")
    for seed in (2, 3):
        edit("params.yaml", f"seed: {seed - 1}", f"seed: {seed}")
        subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
        git(*(("add", "-A") if seed == 2 else ("stash",)))
        git(*(("commit", "-qm", "model") if seed == 2 else ("status",)))
    [finding] = repository.check_dvc()
    assert finding.message.startswith("outputs are not those that dvc.lock records, as after `git stash`")
    assert finding.message.endswith(": model.txt")
    assert finding.remedy.startswith("uv run dvc checkout")


CLONE = {
    "ingest": [{"changed outs": {"data/raw": "deleted"}}],
    "train": [{"changed deps": {"data/raw": "deleted"}}, {"changed outs": {"model.txt": "deleted"}}],
    "register": [{"changed deps": {"model.txt": "deleted"}}, {"changed outs": {"models/registered.sha256": "deleted"}}],
}
RELEASED = [{"changed deps": {"releases": "modified"}}]


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        ({}, "dvc.lock is up to date", ""),
        (CLONE, "outputs that dvc.lock records are not here, as in a new clone: data/raw, mod", "uv run dvc pull"),
        (
            {"t.csv.dvc": [{"changed outs": {"t.csv": "deleted"}}], "ingest": [{"changed deps": {"t.csv": "deleted"}}]},
            "outputs that dvc.lock records are not here, as in a new clone: t.csv", "uv run dvc pull",
        ),
        ({"register": CLONE["register"][1:]}, "this clone has not registered the artifact", "uv run dvc repro"),
        (
            CLONE | {"train": [{"changed deps": {"data/raw": "deleted", "engine.json": {"stages.train": "modified"}}}]},
            "dvc.lock is out of date: train (stages.train modified)", "uv run dvc repro",
        ),
        (
            {
                "evaluate": [{"changed deps": {"model.txt": "modified"}}, {"changed outs": {"metrics": "deleted"}}],
                "package": [{"changed deps": {"metrics": "deleted", "params.yaml": {"train": "modified"}}}],
                "assess": [{"changed deps": {"metrics": "deleted"}}],
            },
            "dvc.lock is out of date: evaluate (model.txt modified), package (train modified); `dvc status` also lists",
            "uv run dvc repro",
        ),
        ({"assess": RELEASED}, "dvc.lock is up to date but for the release", ""),
        (
            {"assess": RELEASED, "gate": [{"changed outs": {"artifact": "deleted"}}]},
            "outputs that dvc.lock records are not here, as in a new clone: artifact", "uv run dvc pull",
        ),
        ({"assess": RELEASED, "train": ["changed command"]}, "dvc.lock is out of date: train (changed", "uv run dvc"),
        ({"train": ["changed command"]}, "dvc.lock is out of date: train (changed command)", "uv run dvc repro"),
        (
            {"t.csv.dvc": [{"changed outs": {"t.csv": "not in cache"}}]},
            "outputs are not in DVC's cache: t.csv", "get t.csv from where it is tracked, then uv run dvc repro",
        ),
        ({"train": [{"changed outs": {"model.txt": "not in cache"}}]}, "outputs are not in DVC's", "uv run dvc repro"),
    ],
)  # fmt: skip
def test_status_of_dvc_has_one_diagnosis_and_one_remedy(status: dict[str, object], message: str, remedy: str) -> None:
    changes = repository.parse_status(json.dumps(status))
    finding = repository.diagnose(changes, has_remote=True)
    assert finding.message.startswith(message)
    assert finding.remedy.startswith(remedy)
    if status is CLONE:
        assert repository.diagnose(changes, has_remote=False).remedy == "uv run dvc repro"


def test_stages_that_wait_for_the_gate_are_reported_apart() -> None:
    gate = [{"changed deps": {"models/candidate": "modified"}}, {"changed outs": {"artifact": "deleted"}}]
    status = {"gate": gate, "register": [{"changed deps": {"artifact": "deleted"}}]}

    def messages(status: dict[str, object], *, gate_failed: bool) -> list[str]:
        changes = repository.parse_status(json.dumps(status))
        return [each.message for each in repository.diagnose_all(changes, gate_failed=gate_failed, has_remote=True)]

    [waiting] = messages(status, gate_failed=True)
    assert waiting.startswith("the gate has not passed: dvc.lock is out of date for gate, register, which wait for")
    stale = "dvc.lock is out of date: train (changed command)"
    assert messages(status | {"train": ["changed command"]}, gate_failed=True) == [stale, waiting]
    [message] = messages(status, gate_failed=False)
    assert message == "dvc.lock is out of date: gate (models/candidate modified); `dvc status` also lists register"
    [message] = messages({"gate": gate[1:]}, gate_failed=True)
    assert message == "outputs that dvc.lock records are not here, as in a new clone: artifact"


def test_artifact_that_is_not_here_is_reported_with_the_other_outputs_only(project: Path) -> None:
    write("artifact.sha256", "0" * 64)
    write("dvc.lock", "stages: {}")
    assert artifact_check.check() == []
    write("releases/release.json", "{}")
    [finding] = artifact_check.check()
    assert (finding.level, finding.message[:24]) == ("ok", "there is no artifact/; t")


def test_compares_artifact_with_its_digest_and_the_installed_libraries(project: Path) -> None:
    package_small_model(project)
    assert artifact_check.check()[0].level == "ok"
    installed = json.loads((project / "artifact/manifest.json").read_text())["libraries"]
    for name, level, consequence in (
        ("joblib", "warning", "; the service rejects it if a prediction"),
        ("numpy", "warning", "; the service does not use the stored plan; "),
        ("scikit-learn", "broken", "; scikit-learn cannot load a pipeline of another version"),
        ("lightgbm-gone", "broken", "; the service cannot load the pipeline"),
    ):
        record_libraries(installed | {name: "0.1.2"})
        [finding] = artifact_check.check()
        assert finding.level == level
        assert f"{name} 0.1.2 (installed: {installed.get(name, 'none')}){consequence}" in finding.message
    record_libraries(installed)
    (project / "artifact/model_card.md").write_text("changed")
    [finding] = artifact_check.check()
    assert finding.level == "broken"
    assert "model_card.md" in finding.message


def record_libraries(libraries: dict[str, str]) -> None:
    """Write other libraries into the manifest of the artifact, and its digest."""
    path = Path("artifact/manifest.json")
    manifest = json.dumps(json.loads(path.read_text()) | {"libraries": libraries})
    path.write_text(manifest)
    write("artifact.sha256", hashlib.sha256(manifest.encode()).hexdigest() + "\n")


def package_small_model(project: Path) -> None:
    """Package a small pipeline as the project's artifact."""
    import numpy as np
    import pandas as pd
    from sklearn.dummy import DummyRegressor
    from sklearn.pipeline import make_pipeline

    from skline.contract.table import Table, column

    class Inputs(Table):
        """Columns of a request."""

        size: float = column("Size", example=1.0)

    class Labelled(Inputs):
        """A row with its price."""

        price: float = column("Price", role="target")

    frame = pd.DataFrame({"size": np.arange(4.0)})
    fitted = make_pipeline(DummyRegressor()).fit(frame, np.arange(4.0))
    rows = [{"size": 1.0}, {"size": 2.0}]
    packaged = demo.package(project / "artifact", fitted, derive(Inputs, Labelled, {}), rows)
    write("artifact.sha256", packaged.digest + "\n")


@pytest.mark.filterwarnings("ignore")  # of MLflow, which creates the store
def test_accepts_readable_store_and_healthy_server(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_empty_registry(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it when it creates a store
    assert mlflow_check.check()[0] == Finding("ok", "MLflow's store mlflow.db has 0 runs")

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_valid = self.headers["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
            self.send_response(200 if self.path == "/health" and is_valid else 403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for credentials, level in (("user:secret@", "ok"), ("user:wrong@", "broken"), ("", "broken")):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{credentials}127.0.0.1:{server.server_port}")
            [finding] = mlflow_check.check()
            assert finding.level == level, finding
            assert "secret" not in str(finding)
        server.shutdown()


def test_command_prints_findings_and_exits_with_1_if_something_is_broken(project: Path) -> None:
    env = os.environ | {"PYTHONPATH": f"{project / 'src'}{os.pathsep}{demo.ROOT / 'src'}"}
    env.pop("MLFLOW_TRACKING_URI", None)

    def doctor(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "skline.cli", "doctor", *options]
        return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)

    (project / "data/source/prices.csv").write_text("size,cost\n1,2\n")
    done = doctor("--json")
    assert done.returncode == 1
    assert done.stderr == "error: 1 thing is broken\n"
    [broken] = [finding for finding in json.loads(done.stdout) if finding["level"] == "broken"]
    assert (broken["check"], "'price'" in broken["message"]) == ("contract", True)
    (project / "data/source/prices.csv").write_text("size,price\n1,2\n")
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning  dvc" in done.stdout


def test_missing_table_that_dvc_records_is_restored_by_checkout(project: Path) -> None:
    write("data/source/prices.csv.dvc", "outs: []\n")
    (project / "data/source/prices.csv").unlink()
    [finding] = contract_check.check()
    assert finding.level == "broken"
    message = "source.uri: there is no file 'data/source/prices.csv', but data/source/prices.csv.dvc records it"
    assert finding.message == message
    checkout = "uv run dvc checkout data/source/prices.csv.dvc; if DVC's cache lacks it, "
    assert finding.remedy == f"{checkout}copy the table here"
    write(".dvc/config", "[core]\n    remote = s\n['remote \"s\"']\n    url = /mnt\n")
    [finding] = contract_check.check()
    assert (finding.message, finding.remedy) == (message, f"{checkout}uv run dvc pull data/source/prices.csv.dvc")


def test_a_service_that_rejects_the_release_is_reported_until_it_ends(project: Path) -> None:
    write("releases/release.json", "{}")
    write(".dvcignore", "releases/registered.jsonl\nreleases/services\n")
    services = [StatusFile(paths.RELEASE) for _ in range(2)]
    reason = "prices@2 has another contract than prices@1; restart the service to serve it"
    for service in services:
        service.write(ServiceState(address="127.0.0.1:80", version="prices@1", release=1, checked=2, rejected=reason))

    def about_services() -> list[Finding]:
        return [each for each in releases_check.check() if each.message.startswith("the service at")]

    [finding] = about_services()
    assert finding.level == "broken"
    assert finding.message == f"the service at 127.0.0.1:80 (2 processes) still serves prices@1: {reason}"
    assert "uv run skline rollback --to NUMBER" in finding.remedy
    for service in services:
        service.remove()
    assert about_services() == []
