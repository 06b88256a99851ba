"""`python -m tests.template.placeholders`: note that the demo, as it is now, is what `skline init` may replace."""

from pathlib import Path

from skline.init import project

ROOT = Path(__file__).parent.parent.parent
DEMO = [project.CONTRACT, project.SOURCE, project.PIPELINE, Path("params.yaml")]


def digests() -> dict[Path, str]:
    """Sha256 of the demo's files."""
    return {path: project.digest(ROOT / path) for path in DEMO}


if __name__ == "__main__":
    project.record(ROOT, digests(), demo=True)
