"""Save the workload's pipeline as an MLflow model: `python -m benchmarks.apps.mlflow_save FOLDER`."""

import json
import sys

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature

from benchmarks.apps.rows import COLUMNS, FOLDER, load_pipeline


def main() -> None:
    """Write the model with its signature into the folder named on the command line."""
    pipeline = load_pipeline()
    rows = json.loads((FOLDER / "rows.json").read_text())
    sample = pd.DataFrame(rows).astype({c["name"]: c["storage"] for c in COLUMNS})
    mlflow.sklearn.save_model(
        pipeline,
        sys.argv[1],
        signature=infer_signature(sample, pipeline.predict_proba(sample)),
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn"],
    )


if __name__ == "__main__":
    main()
