"""The stages that made a registered version as run events of OpenLineage, for catalogues such as Marquez or DataHub.

Source: OpenLineage specification 2-0-2 (https://openlineage.io/spec/2-0-2/OpenLineage.json). Its Python client builds,
serialises and sends the events.
"""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skline import paths
from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.files import write_text
from skline.lineage.snapshots import parse_mapping, read_snapshot, text_of
from skline.redaction import redact
from skline.release.registered import RegisteredVersion

try:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import dataset_version_dataset, job_type_job, processing_engine_run
    from openlineage.client.serde import Serde
    from openlineage.client.transport.http import HttpConfig, HttpTransport
    from requests import RequestException
except ImportError as error:
    raise SklineError(
        "--openlineage needs the client of OpenLineage; `uv add --group train 'skline[lineage]'` installs it"
    ) from error

#: Environment variable with the API key of the server, as in OpenLineage's own clients.
KEY_VARIABLE = "OPENLINEAGE_API_KEY"
TIMEOUT_SECONDS = 5
RETRIES = 2
#: A dataset, and the digest of its content as its version.
Datasets = Mapping[str, str]


def version_events(root: Path, registered: RegisteredVersion) -> list[RunEvent]:
    """Return the events of the stages that made a registered version.

    Raises
    ------
    SklineError
        If dvc.lock is not recorded with the version's digest.
    """
    snapshot = read_snapshot(root, registered.artifact_sha256, None)
    if snapshot.commit is None or not snapshot.stages:
        raise SklineError(
            f"no commit here records {paths.ARTIFACT_DIGEST} {registered.artifact_sha256[:12]}… with dvc.lock, which "
            "lists the inputs and outputs of the stages; fetch the history (`git fetch --unshallow`)"
        )
    recorded = parse_mapping(text_of(root, paths.ENGINE.as_posix(), snapshot.commit), json.loads)
    source = snapshot.source
    sources = {str(source["source"]): str(source["sha256"])} if source.get("sha256") else {}
    return stage_events(registered, snapshot.stages, sources, str(recorded.get("version", "unknown")))


def stage_events(
    registered: RegisteredVersion, stages: Mapping[str, Any], sources: Datasets, engine_version: str
) -> list[RunEvent]:
    """Return two events, START and COMPLETE, of each stage in dvc.lock.

    DVC does not record when a stage ran: the time of all events is when the version was registered. The id of a run
    follows from version and stage, so that sending the events again adds no run.

    Parameters
    ----------
    registered : RegisteredVersion
        Its model is the namespace of jobs and datasets.
    stages : mapping
        The stages of dvc.lock, by name.
    sources : mapping of str to str
        The source's table and its sha256, which the stage ingest reads.
    engine_version : str
    """
    events = []
    read_by_stages = {name: digest for stage in stages.values() for name, digest in _files(stage, "deps").items()}
    for name, stage in stages.items():
        inputs, outputs = _files(stage, "deps"), _files(stage, "outs")
        # A stage that reads one file of an output folder depends on the folder's stage.
        outputs |= {
            path: digest for path, digest in read_by_stages.items() for out in outputs if path.startswith(f"{out}/")
        }
        if name == "ingest":
            inputs |= sources
        if name == "register":
            outputs[f"models:/{registered.model}/{registered.version}"] = registered.artifact_sha256
        events += _events(registered, name, inputs, outputs, engine_version)
    return events


def write_events(path: Path, events: Sequence[RunEvent]) -> None:
    """Write events to a file, one JSON object a line."""
    write_text(path, "".join(f"{Serde.to_json(event)}\n" for event in events))


def send_events(url: str, events: Sequence[RunEvent]) -> None:
    """Send events to a server of OpenLineage, whose address is `url` without /api/v1/lineage.

    Raises
    ------
    SklineError
        If it cannot be reached, or rejects an event; the events can be sent again.
    """
    key = os.environ.get(KEY_VARIABLE)
    auth = {"type": "api_key", "apiKey": key} if key else {}
    retry = dict.fromkeys(("total", "read", "connect"), RETRIES)
    config = {"url": f"{url.rstrip('/')}/", "auth": auth, "timeout": TIMEOUT_SECONDS, "retry": retry}
    try:
        transport = HttpTransport(HttpConfig.from_dict(config))
        for event in events:
            transport.emit(event)
    except (RequestException, ValueError) as error:
        raise SklineError(redact(f"{url} did not accept the events: {one_line(error)}; send them again")) from None


def _events(
    registered: RegisteredVersion, stage: str, inputs: Datasets, outputs: Datasets, engine_version: str
) -> list[RunEvent]:
    """Return the events of one stage."""
    namespace, producer = registered.model, f"urn:skline:{engine_version}"
    run_id = uuid.uuid5(uuid.NAMESPACE_URL, f"skline:{namespace}/{registered.artifact_sha256}/{stage}")
    engine_facet = processing_engine_run.ProcessingEngineRunFacet(
        version=engine_version, name="skline", producer=producer
    )
    job_facet = job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="DVC", jobType="STAGE", producer=producer
    )

    def facets(digest: str) -> dict[str, Any]:
        return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=digest, producer=producer)}

    return [
        RunEvent(
            eventTime=registered.time.isoformat(),
            producer=producer,
            eventType=state,
            run=Run(runId=str(run_id), facets={"processing_engine": engine_facet}),
            job=Job(namespace=namespace, name=f"{namespace}.{stage}", facets={"jobType": job_facet}),
            inputs=[InputDataset(namespace, name, facets=facets(digest)) for name, digest in inputs.items()],
            outputs=[OutputDataset(namespace, name, facets=facets(digest)) for name, digest in outputs.items()],
        )
        for state in (RunState.START, RunState.COMPLETE)
    ]


def _files(stage: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the md5 of each dependency or output of a stage, by path."""
    return {each["path"]: each["md5"] for each in stage.get(kind, []) if "md5" in each}
