"""`python -m scripts.deploy`: write the demo's deploy/ from the templates of the engine, which a test compares.

The alert rules and the dashboard are edited, or generated, in deploy/; the engine gets copies of them. All else is
edited in src/skline/deploy/templates.
"""

import sys
from pathlib import Path

from skline.deploy import templates
from skline.files import atomic_write
from skline.settings import Settings

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "src/skline/deploy/templates"
#: File of deploy/ → its copy in the engine.
COPIES = {
    "deploy/prometheus/rules.yml": "monitoring/prometheus/rules.yml",
    "deploy/grafana/dashboard.json": "monitoring/grafana/dashboard.json",
}
#: What the demo has of it: its CI is that of GitHub.
KINDS = ("compose", "k8s")


def rendered() -> dict[str, str]:
    """Return the demo's files by their paths."""
    name = Settings.load(ROOT / "params.yaml").project.name
    return {str(path): text for kind in KINDS for path, text in templates.render(kind, name).items()}


def main() -> None:
    """Copy, then write."""
    for source, copy in COPIES.items():
        with atomic_write(TEMPLATES / copy, 0o644) as temporary:
            temporary.write_bytes((ROOT / source).read_bytes())
    name = Settings.load(ROOT / "params.yaml").project.name
    for kind in KINDS:
        for path in templates.write_files(ROOT, templates.render(kind, name)):
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
