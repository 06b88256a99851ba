"""`python -m tests.template.placeholders`: record the demo's files as placeholders, which `skline init` may replace."""

from pathlib import Path

from skline.init import project

ROOT = Path(__file__).parent.parent.parent
DEMO = [project.CONTRACT, project.SOURCE, project.PIPELINE, Path("params.yaml")]


def demo_digests() -> dict[Path, str]:
    """Return the SHA-256 of the demo's files."""
    return {path: project.digest(ROOT / path) for path in DEMO}


if __name__ == "__main__":
    project.write_placeholders(ROOT, demo_digests(), demo=True)
