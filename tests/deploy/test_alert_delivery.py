"""Real faults reach a webhook through Prometheus and Alertmanager, and their end does too."""

import datetime as dt
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from skline.monitoring.checks import State
from skline.monitoring.prometheus import read_counts
from skline.monitoring.run import TEXTFILE
from skline.monitoring.textfile import prometheus_text
from tests.deploy.exported import window_result
from tests.deploy.test_alert_rules import RULES
from tests.deploy.test_dashboard import queries
from tests.fixtures import demo
from tests.fixtures.clients import wait_until
from tests.fixtures.server import free_port, process
from tests.fixtures.webhook import Receiver, webhook

MISSING = [name for name in ("prometheus", "prometheus-alertmanager") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: apt install {' '.join(MISSING)}"),
]
MINUTES = {"m": 1, "h": 60, "d": 1440}
#: A minute of the rules, in milliseconds: an alert `for: 2m` waits a second.
MINUTE_MS = 500


def scaled_rules() -> str:
    """Return the rules of deploy/ with each duration of `for` and of a window scaled; ages in seconds stay."""

    def scale(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) * MINUTES[match[3]] * MINUTE_MS}ms{match[4]}"

    return re.sub(r"(\bfor: |\[)(\d+)([mhd])(\]|$)", scale, RULES.read_text(), flags=re.MULTILINE)


@contextmanager
def prometheus(folder: Path, service: str, receiver: Receiver) -> Iterator[str]:
    """Run Prometheus and Alertmanager on loopback; each alert goes to the webhook at once; yield the address."""
    own, alertmanager = (f"127.0.0.1:{free_port()}" for _ in range(2))
    interval = f"{MINUTE_MS}ms"
    configuration = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [{"job_name": "skline", "static_configs": [{"targets": [service]}]}],
    }
    route = {"receiver": "webhook", "group_by": ["alertname"], "group_wait": "100ms", "group_interval": interval}
    receivers = [{"name": "webhook", "webhook_configs": [{"url": receiver.url, "send_resolved": True}]}]
    (folder / "rules.yml").write_text(scaled_rules())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (folder / "alertmanager.yml").write_text(yaml.safe_dump({"route": route, "receivers": receivers}))
    commands = [
        ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={own}"],
        [
            "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=alerts",
            f"--web.listen-address={alertmanager}", "--cluster.listen-address=",
        ],
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) for command in commands]
        try:
            yield own
        finally:
            for each in processes:
                each.kill()
                each.wait()


def write_state(folder: Path, state: State) -> None:
    """Write what `skline monitor` writes when drift is in this state."""
    result = window_result().model_copy(
        update={"written_at": dt.datetime.now(dt.UTC), "state": state, "states": {"drift": state}}
    )
    (folder / "new").write_text(prometheus_text(result))
    (folder / "new").replace(folder / TEXTFILE)


def told(receiver: Receiver) -> set[tuple[str, str]]:
    """Return the alerts that the webhook was told of, each with its status."""
    return {(alert["labels"]["alertname"], alert["status"]) for body in receiver.bodies for alert in body["alerts"]}


def test_faults_and_their_end_reach_the_webhook(packaged: demo.Packaged, tmp_path: Path) -> None:
    write_state(tmp_path, "alarm")
    log = {"LOG__DATABASE": str(tmp_path / "log.db"), "LOG__PARTITIONS": str(tmp_path / "days")}
    with webhook() as receiver, process(packaged, **log, MONITOR_FOLDER=str(tmp_path)) as (service, client):
        address = f"127.0.0.1:{client.base_url.port}"
        with prometheus(tmp_path, address, receiver) as database:
            wait_until(lambda: ("SklineMonitorAlarm", "firing") in told(receiver))
            write_state(tmp_path, "ok")
            wait_until(lambda: ("SklineMonitorAlarm", "resolved") in told(receiver))
            os.kill(service.pid, signal.SIGSTOP)  # it hangs
            wait_until(lambda: ("SklineDown", "firing") in told(receiver))
            os.kill(service.pid, signal.SIGCONT)
            wait_until(lambda: ("SklineDown", "resolved") in told(receiver))
            for query in queries():  # of the dashboard
                response = httpx.get(f"http://{database}/api/v1/query", params={"query": query}, trust_env=False)
                assert response.json()["status"] == "success", (query, response.text)
            now = dt.datetime.now(dt.UTC)
            counts = read_counts(f"http://{database}", "skline", now - dt.timedelta(minutes=5), now)
            assert (counts.requests or 0.0) >= 0.0
            assert counts.logged == 0.0, "the service has logged nothing"
    assert {name for name, _ in told(receiver)} == {"SklineMonitorAlarm", "SklineDown"}
    alerts = {alert["labels"]["alertname"]: alert for body in receiver.bodies for alert in body["alerts"]}
    down = alerts["SklineDown"]
    assert down["annotations"]["description"].startswith(f"{address} has not responded to scrapes")
    assert down["annotations"]["runbook_url"] == "docs/runbook.md#sklinedown"
    assert alerts["SklineMonitorAlarm"]["labels"]["part"] == "drift"
