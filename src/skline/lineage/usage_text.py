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
from skline.paths import CONTRACT, FEEDBACK

NO_PREDICTIONS = ("predictions", "0 in the log")
#: What `skline log forget` does, and what it leaves.
FORGET_NOTE = f"""\
`skline log forget ENTITY` deletes the predictions and labels above, sealed or not. It does not reach:
- the rows that `skline retrain` took from the log: then delete all snapshots in {FEEDBACK}, with their .dvc
  files; `dvc repro` trains without them, and the next training of `skline retrain` makes one snapshot of all that is
  in the log;
- the source's table, data/, DVC's cache and its remote: remove the rows from the source, run `dvc repro` and `dvc gc`;
- models that were fitted on the rows, and the rows in their artifacts: fit and promote another model, delete these."""
NO_KEY = "not searched: the entity key is not here (SKLINE_LOG__ENTITY_KEY, or entity.key in the folder of the log)"
WITHOUT_COUNT = "files without a number above: they are not here, or have no column that tells whose row it is"
NO_LOG = "not searched: there is no log here"


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
    pairs: Pairs = [
        ("entity", found.entity_hash or "without an entity key, rows that came from the log cannot be searched")
    ]
    if found.entity_hash is None or not found.has_log:
        reason = NO_LOG if not found.has_log else NO_KEY
        pairs += [("predictions", reason), ("labels", reason)]
    else:
        pairs += [pair for usage in found.usages for pair in usage_pairs(usage)] or [NO_PREDICTIONS]
        pairs.append(("labels", f"{found.labels:,} that name the entity"))
    pairs += [
        ("feedback", f"{name}: {NO_KEY if found.entity_hash is None else _count(count)}")
        for name, count in found.feedback.items()
    ] or [("feedback", f"no snapshots in {FEEDBACK}")]
    pairs += _search_pairs(found)
    pairs += [("rows", f"{name}: {_count(count)}") for name, count in found.rows.items()]
    for model in found.models:
        name = ", ".join(model.versions) or "not registered"
        counts = ", ".join(f"{part}{_use(part)} {_count(count)}" for part, count in model.rows.items())
        stored = f"; {_count(model.stored)} among the rows that the artifact contains"
        pairs.append(("model", f"{model.artifact_digest[:12]} ({name}): {counts}{stored}"))
    others = "\n".join(f"- {each}" for each in (WITHOUT_COUNT, *found.not_searched))
    return f"{aligned(pairs)}\n\n{FORGET_NOTE}\n\nNot searched, and may hold rows of the entity too:\n{others}"


def _search_pairs(found: EntityTrace) -> Pairs:
    """Return by what the tables and artifacts are searched, or why they are not."""
    if not found.has_contract:
        return [("table", f"not searched: {CONTRACT} is not here; run `dvc pull` or `dvc repro`")]
    if found.columns:
        what = "the entity" if found.entity_hash is None else "the entity and its keyed hash"
        pairs: Pairs = [("table", f"searched for {what}: {', '.join(found.columns)}")]
    else:
        pairs = [("table", "no column holds entities: no group in the contract, no SKLINE_LOG__ENTITY_COLUMN in it")]
    if found.id_columns:
        pairs.append(("", f"searched for the ids of the rows in the feedback: {', '.join(found.id_columns)}"))
    elif not found.columns and any(found.feedback.values()):
        text = "the rows of the feedback may be in data/ and models, and cannot be found there: the contract has no id"
        pairs.append(("", text))
    return pairs


def _use(name: str) -> str:
    """Return what a part is used for, if the name is that of a part."""
    part = name.rpartition("/")[2].removesuffix(".parquet")
    if part in FITTED_PARTS:
        return " (fitted on)"
    return " (evaluated on)" if part == "test" else ""


def _count(count: int | None) -> str:
    return "not searched" if count is None else f"{count:,}"
