"""Traces of an artifact, of data and of an entity as text for people, with what the log holds of each."""

from collections.abc import Mapping
from typing import Any

from skline.counting import counted
from skline.lineage.artifact_trace import ArtifactTrace
from skline.lineage.data_trace import DataTrace
from skline.lineage.entity_trace import EntityTrace
from skline.lineage.text import Pairs, aligned, model_pairs
from skline.lineage.usage import Usage
from skline.partition import FITTED_PARTS

NO_PREDICTIONS = ("predictions", "0 in the log")
#: What `skline log forget` does, and what it leaves.
FORGET_NOTE = """\
`skline log forget ENTITY` deletes the predictions and labels above, sealed or not. It does not reach:
- the source's table, data/ and DVC's cache: remove the rows from the source, and run `dvc repro` and `dvc gc`;
- models that were fitted on the rows, and the rows in their artifacts: fit and promote another model, and delete these;
- exported files, backups, MLflow's runs, and the logs of other services."""


def artifact_text(found: ArtifactTrace) -> str:
    """Return a traced artifact with its predictions."""
    snapshot = found.snapshot
    pairs = model_pairs(found.model)
    pairs.append(("source", _source_text(snapshot.source)))
    pairs.append(("results in", snapshot.commit or "no commit"))
    pairs += [pair for usage in found.usages for pair in usage_pairs(usage)] or [NO_PREDICTIONS]
    return aligned(pairs)


def _source_text(source: Mapping[str, Any]) -> str:
    """Return address, sha256 and rows of the source, as far as they are recorded."""
    parts = [str(source.get("source") or "")]
    if "sha256" in source:
        parts.append(f"sha256 {source['sha256']}")
    if "rows" in source:
        parts.append(counted(source["rows"], "row"))
    return ", ".join(filter(None, parts))


def usage_pairs(usage: Usage) -> Pairs:
    """Return what the log holds of one model version."""
    shares = [
        ", ".join(f"{count:,} {name or 'none'}" for name, count in sorted(counts.items())) + f" ({column})"
        for column, counts in (("role", usage.by_role), ("scoring_path", usage.by_scoring_path))
    ]
    return [
        ("model_version", usage.model_version),
        ("predictions", f"{usage.predictions:,} from {usage.first} to {usage.last}"),
        *(("", share) for share in shares),
        ("labels", f"{usage.labels:,}, of {usage.labelled:,} of the {usage.predictions:,} predictions"),
    ]


def data_text(found: DataTrace) -> str:
    """Return the artifacts that were made from data, and their predictions."""
    pairs: Pairs = [("data", digest) for digest in found.digests]
    for version in found.found:
        pairs.append(("artifact", f"{version.artifact_digest} {', '.join(version.versions) or 'not registered'}"))
        pairs += [("made from", f"{file.name}{_use(file.name)}, by {file.recorded_in}") for file in version.files]
        pairs += [pair for usage in version.usages for pair in usage_pairs(usage)] or [NO_PREDICTIONS]
    if not found.found:
        pairs.append(("artifact", "none on record was made from it"))
    pairs += [("not known", f"the data of {label} are not recorded here") for label in found.unknown]
    return aligned(pairs)


def entity_text(found: EntityTrace) -> str:
    """Return what is recorded about an entity, and what deletes it."""
    pairs: Pairs = [("entity", found.entity_hash or "not in the log: there is no log, or no entity key")]
    pairs += [pair for usage in found.usages for pair in usage_pairs(usage)] or [NO_PREDICTIONS]
    pairs.append(("labels", f"{found.labels:,} that name the entity"))
    if found.columns:
        pairs.append(("table", f"searched: {', '.join(found.columns)}"))
        pairs += [("rows", f"{name}: {_count(count)}") for name, count in found.rows.items()]
    else:
        pairs.append(
            ("table", "no column holds entities: no group in the contract, no SKLINE_LOG__ENTITY_COLUMN in it")
        )
    for model in found.models:
        name = ", ".join(model.versions) or "not registered"
        counts = ", ".join(f"{part}{_use(part)} {_count(count)}" for part, count in model.rows.items())
        stored = "" if model.stored is None else f"; {model.stored:,} among the rows that the artifact contains"
        pairs.append(("model", f"{model.artifact_digest[:12]} ({name}): {counts}{stored}"))
    return f"{aligned(pairs)}\n\n{FORGET_NOTE}"


def _use(name: str) -> str:
    """Return what a part is used for, if the name is that of a part."""
    part = name.rpartition("/")[2].removesuffix(".parquet")
    if part in FITTED_PARTS:
        return " (fitted on)"
    return " (evaluated on)" if part == "test" else ""


def _count(count: int | None) -> str:
    return "in a file that is not here" if count is None else f"{count:,}"
