"""The check of the image's requirements: they contain the libraries of the project in versions that it allows."""

import json
from pathlib import Path

from skline.doctor import requirements
from tests.skline.doctor.conftest import edit, write
from tests.skline.doctor.test_doctor import package_small_model

PINS = """joblib==1.6.0 \\
    --hash=sha256:00
uvicorn[standard]==0.54.1 ; sys_platform != 'win32' \\
    --hash=sha256:11
"""


def test_missing_and_old_libraries_are_named(project: Path) -> None:
    assert requirements.check() == []
    write("requirements/serving.txt", PINS)
    [finding] = requirements.check()
    assert (finding.level, finding.remedy) == ("ok", "")
    edit(
        "pyproject.toml",
        '["joblib>=1.5"]',
        '["joblib>=1.7", "lightgbm>=4.7", "tomli; python_version < \'3\'", "skline"]',
    )
    [finding] = requirements.check()
    assert finding.level == "broken"
    assert "joblib is 1.6.0, but >=1.7 is required, lightgbm is missing;" in finding.message
    assert finding.remedy == "uv run just requirements"


def test_pins_are_compared_with_what_the_artifact_needs(project: Path) -> None:
    package_small_model(project)
    manifest = json.loads(Path("artifact/manifest.json").read_text())
    made_with = {name: version for name, version in manifest["libraries"].items() if name != "python"}
    write("requirements/serving.txt", as_pins(made_with))
    assert [finding.level for finding in requirements.check()] == ["ok"]

    manifest["libraries"]["LightGBM"] = "4.7.0"
    write("artifact/manifest.json", json.dumps(manifest))
    [finding] = requirements.check()
    assert finding.level == "broken"
    assert "lacks LightGBM, which the artifact needs" in finding.message
    assert finding.remedy == "uv add LightGBM, then uv run just requirements"

    write("requirements/serving.txt", as_pins(made_with | {"lightgbm": "4.6.0"}))
    [finding] = requirements.check()
    assert finding.level == "warning"
    assert finding.message.endswith("made with: LightGBM 4.6.0 (artifact: 4.7.0)")

    write("requirements/serving.txt", as_pins(made_with | {"lightgbm": "4.7.0"}))
    assert [finding.level for finding in requirements.check()] == ["ok"]


def as_pins(versions: dict[str, str]) -> str:
    return "".join(f"{name}=={version} \\\n    --hash=sha256:00\n" for name, version in versions.items())


def test_pins_are_read_with_extras_and_markers() -> None:
    assert requirements.pins(PINS) == {"joblib": "1.6.0", "uvicorn": "0.54.1"}


def test_pins_of_the_target_plan_are_those_of_the_target_full(project: Path) -> None:
    write("requirements/serving.txt", PINS)
    write("requirements/plan.txt", as_pins({"uvicorn": "0.54.1"}))
    assert [finding.level for finding in requirements.check()] == ["ok"]
    write("requirements/plan.txt", as_pins({"uvicorn": "0.54.0", "orjson": "3.13.0"}))
    [finding] = requirements.check()
    assert (finding.level, finding.remedy) == ("warning", "uv run just requirements")
    assert "uvicorn 0.54.0 (requirements/serving.txt: 0.54.1), orjson 3.13.0 (requirements/serving.txt: none)" in (
        finding.message
    )
