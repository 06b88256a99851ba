"""The settings that this engine knows, by their key in params.yaml."""

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from skline.settings.project import Settings


def declared_settings() -> dict[str, FieldInfo]:
    """Return the declaration of each setting, which holds its default, by dotted key: `train.search.folds`."""
    return dict(fields_of(Settings))


def fields_of(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the settings of a model, and of the models in it, by dotted key."""
    for name, field in section.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, f"{key}.")
        else:
            yield key, field
