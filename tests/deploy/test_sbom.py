"""The comparison of an SBOM with requirements, which CI makes for each target of the image."""

import json
from typing import Any

import pytest

from tests.deploy.sbom import differences

REQUIREMENTS = "numpy==2.4.6 \\\n    --hash=sha256:00\npydantic-core==2.50.4 \\\n    --hash=sha256:11\n"
LISTED = {"numpy": "2.4.6", "pydantic_core": "2.50.4", "skline": "1.0"}


def sbom(libraries: dict[str, str]) -> str:
    components = [{"name": name, "version": version, "purl": f"pkg:pypi/{name}"} for name, version in libraries.items()]
    content: dict[str, Any] = {"bomFormat": "CycloneDX", "components": components}
    return json.dumps(content)


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [
        (LISTED, []),
        (LISTED | {"pip": "25.0"}, ["pip: 25.0 in the image, None required"]),
        (LISTED | {"numpy": "2.4.5"}, ["numpy: 2.4.5 in the image, 2.4.6 required"]),
        ({"numpy": "2.4.6", "skline": "1.0"}, ["pydantic-core: None in the image, 2.50.4 required"]),
        ({"numpy": "2.4.6", "pydantic-core": "2.50.4"}, ["skline is missing"]),
    ],
)
def test_what_the_image_has_and_the_requirements_have_not_is_named(
    libraries: dict[str, str], expected: list[str]
) -> None:
    assert differences(sbom(libraries), REQUIREMENTS) == expected
