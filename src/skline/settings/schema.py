"""The JSON Schema of params.yaml, with which editors complete and check the file."""

import json
from pathlib import Path

from skline import paths
from skline.files import atomic_write
from skline.settings.project import Settings

#: First line of params.yaml: where editors find the schema.
SCHEMA_COMMENT = f"# yaml-language-server: $schema={paths.PARAMS_SCHEMA.as_posix()}\n"


def schema_text() -> str:
    """Return the schema as JSON: every key with its type, default and meaning; other keys are rejected by name."""
    # Of what a model writes, not of what it reads: a duration is then `7d`, as people write it.
    schema = Settings.model_json_schema(by_alias=True, mode="serialization")
    schema |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "params.yaml of skline"}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def is_current(path: Path = paths.PARAMS_SCHEMA) -> bool:
    """Return whether the file holds the schema of this engine."""
    return path.is_file() and path.read_text(encoding="utf-8") == schema_text()


def write_schema(path: Path = paths.PARAMS_SCHEMA) -> None:
    """Write the schema."""
    with atomic_write(path) as temporary:
        temporary.write_text(schema_text(), encoding="utf-8", newline="\n")
