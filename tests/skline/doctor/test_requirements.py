"""The check of the image's requirements: they contain the libraries of the project in versions that it allows."""

from pathlib import Path

from skline.doctor import requirements
from tests.skline.doctor.conftest import edit, write

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
    assert "joblib is 1.6.0, required is >=1.7, lightgbm is missing;" in finding.message
    assert finding.remedy == "uv run just requirements"


def test_pins_are_read_with_extras_and_markers() -> None:
    assert requirements.pins(PINS) == {"joblib": "1.6.0", "uvicorn": "0.54.1"}
