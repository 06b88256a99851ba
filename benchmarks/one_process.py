"""The pipeline as one script: read, validate, fit, evaluate and dump in one process, without cache or records."""

import sys
from pathlib import Path

import joblib
import pandas as pd

from model.contract import Labelled
from model.pipeline import build_pipeline
from skline.contract.derive import derive_module
from skline.settings import Settings
from skline.sources.locate import local_file
from skline.stages.evaluate import evaluate
from skline.tuning.tune import tune


def main() -> None:
    """Run all steps on the flights, and write the pipeline into the folder named on the command line."""
    from model import contract as declared
    from model.source import prepare

    settings, contract = Settings.load(), derive_module(declared)
    with local_file(settings.source.uri) as path:
        table = prepare(pd.read_csv(path, dtype={"time_hour": "str"}))
    table = table[table["late"].notna()]
    table = table.astype({column.name: column.storage for column in contract.columns})
    table = Labelled.validate(table[[column.name for column in contract.columns]], lazy=True)
    train = table[table["departed_at"] < str(settings.split.validation_from)]
    test = table[table["departed_at"].between(str(settings.split.test_from), str(settings.split.live_from))]
    pipeline = build_pipeline(contract).set_params(**settings.train.params)
    pipeline.fit(train[contract.input_names], train["late"].to_numpy())
    validation = table[table["departed_at"].between(str(settings.split.validation_from), str(settings.split.test_from))]
    pipeline, tuning = tune(
        pipeline,
        validation,
        contract,
        method=settings.train.calibrate,
        threshold=settings.train.threshold,
        level=settings.train.interval,
        seed=settings.train.seed,
    )
    seed = settings.train.seed
    print(evaluate(pipeline, train, test, contract, settings.evaluate, seed=seed, tuning=tuning).metrics["model"])
    joblib.dump(pipeline, Path(sys.argv[1]) / "pipeline.joblib")


if __name__ == "__main__":
    main()
