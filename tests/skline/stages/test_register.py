"""Tests of the stage register: the tags of a version, which `skline promote` reads."""

from skline.release.verdict import GateResult, Verdict
from skline.stages.register import verdict_tags


def test_tags_name_the_gates_that_failed_and_those_that_could_not_tell() -> None:
    outcomes = {"rows": True, "champion": None, "champion by segment": None, "latency": False}
    gates = tuple(GateResult(gate=gate, passed=passed, reason="") for gate, passed in outcomes.items())
    tags = verdict_tags(Verdict(artifact_sha256="a" * 64, champion_sha256="c" * 64, gates=gates))
    assert tags == {
        "verdict": "failed", "verdict.failures": "latency", "verdict.undecided": "champion; champion by segment",
        "verdict.champion_sha256": "c" * 64,
    }  # fmt: skip
