"""A stage that makes other outputs from equal inputs is named; one whose inputs differ is not."""

import copy
from typing import Any

from skline.registry.reproducibility import describe, differing_outputs

LOCK: dict[str, Any] = {
    "stages": {
        "train": {
            "cmd": "skline stage train",
            "deps": [{"path": "data/split/train.parquet", "md5": "d1"}],
            "params": {"params.yaml": {"train.seed": 1}},
            "outs": [{"path": "models/origin.json", "md5": "o1"}, {"path": "models/pipeline.joblib", "md5": "m1"}],
        },
        "package": {
            "cmd": "skline stage package",
            "deps": [{"path": "models/pipeline.joblib", "md5": "m1"}],
            "outs": [{"path": "models/candidate", "md5": "a1"}],
        },
    }
}


def refitted(**md5: str) -> dict[str, Any]:
    """Return the lock after another fit: its outputs have other digests, and package other inputs and outputs."""
    lock = copy.deepcopy(LOCK)
    train, package = lock["stages"]["train"], lock["stages"]["package"]
    for out in train["outs"]:
        out["md5"] = md5.get(out["path"].split("/")[1].split(".")[0], out["md5"])
    package["deps"][0]["md5"] = train["outs"][1]["md5"]
    package["outs"][0]["md5"] = "a2"
    return lock


def test_only_the_stage_with_equal_inputs_is_named() -> None:
    assert differing_outputs(LOCK, LOCK) == {}
    assert differing_outputs({}, LOCK) == {}
    assert differing_outputs(LOCK, refitted(pipeline="m2")) == {"train": ["models/pipeline.joblib"]}


def test_other_data_or_parameters_are_a_reason_for_other_outputs() -> None:
    for key, value in (("deps", [{"path": "data/split/train.parquet", "md5": "d2"}]), ("params", {})):
        lock = refitted(pipeline="m2")
        lock["stages"]["train"][key] = value
        assert differing_outputs(LOCK, lock) == {}


def test_the_message_tells_libraries_from_machines() -> None:
    libraries = describe(differing_outputs(LOCK, refitted(pipeline="m2", origin="o2")))
    assert "train made other models/origin.json, models/pipeline.joblib" in libraries
    assert "Other versions of the libraries" in libraries
    assert "another processor" in describe(differing_outputs(LOCK, refitted(pipeline="m2")))
