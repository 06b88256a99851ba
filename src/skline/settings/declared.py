"""The settings that this engine knows, by their key in params.yaml."""

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from skline.settings.project import Settings


def declared_settings() -> dict[str, FieldInfo]:
    """Return the declaration of each setting, which holds its default, by dotted key: `train.search.folds`."""
    return dict(_fields(Settings))


def _fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{key}.")
        else:
            yield key, field
