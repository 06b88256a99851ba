"""Compare the SBOM of a running container with the requirements from which its image was built.

`python -m tests.deploy.sbom REQUIREMENTS` does so for the container whose network this process shares.
"""

import json
import sys
from pathlib import Path

from packaging.utils import canonicalize_name

from skline.doctor.requirements import pins

PLACE = "root/app/sbom.cdx.json"


def differences(sbom: str, requirements: str) -> list[str]:
    """Return the libraries that only one of the two has, or in another version; the SBOM also lists the engine."""
    content = json.loads(sbom)
    assert content["bomFormat"] == "CycloneDX"
    listed = {canonicalize_name(each["name"]): each["version"] for each in content["components"]}
    engine = [] if listed.pop("skline", None) else ["skline is missing"]
    pinned = pins(requirements)
    return engine + [
        f"{name}: {listed.get(name)} in the image, {pinned.get(name)} required"
        for name in sorted({*listed, *pinned})
        if listed.get(name) != pinned.get(name)
    ]


def find() -> Path:
    """Return the SBOM of the container in whose network namespace this process runs."""
    network = Path("/proc/self/ns/net").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/net").readlink() == network and (process / PLACE).is_file():
                return process / PLACE
        except OSError:  # the process has ended
            continue
    raise SystemExit("no process in this network namespace has an /app/sbom.cdx.json")


if __name__ == "__main__":
    problems = differences(find().read_text(), Path(sys.argv[1]).read_text())
    if problems:
        raise SystemExit("the SBOM differs from the requirements: " + "; ".join(problems))
    print(f"the SBOM of the image lists the libraries of {sys.argv[1]}")
