"""A database of MLflow whose creation ended halfway."""

from pathlib import Path


def create_first_tables(path: Path) -> None:
    """Create the tables that MLflow creates first, and run none of its migrations."""
    import sqlalchemy
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    engine.dispose()
