"""The licences of what the image contains: permissive, or named here with what they ask for."""

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from tests.fixtures.demo import ROOT

#: Identifiers of SPDX that ask for no more than the notice of the licence.
PERMISSIVE = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "PSF-2.0", "Zlib"}
#: Classifiers of packages without an identifier.
CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License",
    "License :: OSI Approved :: BSD License",
    "License :: OSI Approved :: MIT License",
}
#: Packages with a licence that asks for more. They are used unchanged, from their own files, which both licences allow
#: in any service: LGPL asks that they can be replaced, MPL that changes of their files are published.
OTHERS = {
    "orjson": "MPL-2.0 AND (Apache-2.0 OR MIT)",
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
}
#: Packages that only the image has: the zones, which Linux has without them.
NOT_HERE = {"tzdata": "Apache-2.0"}


def licences(package: str) -> set[str]:
    """Return the licences that a package declares: identifiers of SPDX, else classifiers, else its own words."""
    try:
        declared = metadata(package)
    except PackageNotFoundError:
        return {NOT_HERE[package]}
    if expression := declared.get("License-Expression"):
        return {OTHERS[package]} if OTHERS.get(package) == expression else set(re.findall(r"[\w.\-]+", expression))
    classifiers = {line for line in declared.get_all("Classifier") or [] if line.startswith("License ::")}
    return classifiers or {declared.get("License") or ""} - {""}


def pinned() -> list[str]:
    text = (ROOT / "requirements/serving.txt").read_text()
    return re.findall(r"^([\w\-.]+)==", text, re.MULTILINE)


@pytest.mark.parametrize("package", pinned())
def test_licence_of_a_package_in_the_image_is_permissive_or_named(package: str) -> None:
    found = licences(package)
    assert found, f"{package} declares no licence"
    allowed = PERMISSIVE | CLASSIFIERS | {"AND", "OR"} | {OTHERS.get(package, "MIT")}
    assert found <= allowed, (
        f"{package} has {found - allowed}: name it in OTHERS, with what it asks for, or leave it out"
    )


def test_only_packages_of_the_image_are_named() -> None:
    assert set(OTHERS) | set(NOT_HERE) <= set(pinned())
