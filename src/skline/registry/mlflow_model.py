"""The MLflow model of a registered version: the files around the artifact with which MLflow itself loads and serves it.

MLflow lays the folder `model` of a run out as

    MLmodel                                         what MLflow reads first: loader, signature, time
    requirements.txt, python_env.yaml, conda.yaml   the environment
    input_example.json                              a row, as a table
    code/                                           the project's package `model`, to which a pipeline may refer
    artifact/, artifact.sha256                      the artifact and its digest, which `skline.mlflow_loader` verifies

The artifact does not depend on these files, and none of them on the run.
"""

import json
from collections.abc import Mapping
from importlib.metadata import distribution, version
from typing import Any

from skline.artifact import Artifact
from skline.contract.spec import Column, Contract

#: The folder of the model in a run, which is the source of the version; in it, the artifact, and the file with its
#: digest.
MODEL_FOLDER = "model"
ARTIFACT_FOLDER = "artifact"
DIGEST_FILE = "artifact.sha256"
CODE_FOLDER = "code"
PYTHON_ENV, CONDA_ENV = "python_env.yaml", "conda.yaml"
INPUT_EXAMPLE, SERVING_EXAMPLE = "input_example.json", "serving_input_example.json"
#: The module that MLflow imports and asks for the model.
LOADER_MODULE = "skline.mlflow_loader"
#: The parameter of MLflow's `predict` that chooses what is returned, and its values: as `pyfunc_predict_fn` of MLflow's
#: own flavor for scikit-learn.
PREDICT_FN = "predict_fn"
PREDICT, PREDICT_PROBA = "predict", "predict_proba"


def mlflow_model_files(artifact: Artifact, code: Mapping[str, str]) -> dict[str, str]:
    """Return the files of the MLflow model, by path below its folder, without the artifact.

    Parameters
    ----------
    artifact : Artifact
    code : mapping
        The project's Python files by path, such as `model/pipeline.py`.
    """
    import yaml

    python = artifact.manifest.libraries["python"]
    pip = ["-r requirements.txt"]
    conda = {"channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", {"pip": pip}]}
    example = _input_example(artifact)
    return {
        "MLmodel": _mlmodel(artifact, python, has_code=bool(code)),
        "requirements.txt": "\n".join(requirements(artifact)) + "\n",
        PYTHON_ENV: yaml.safe_dump({"python": python, "dependencies": pip}, sort_keys=False),
        CONDA_ENV: yaml.safe_dump(conda, sort_keys=False),
        INPUT_EXAMPLE: json.dumps(example, ensure_ascii=False) + "\n",
        SERVING_EXAMPLE: json.dumps({"dataframe_split": example}, ensure_ascii=False) + "\n",
        DIGEST_FILE: artifact.digest + "\n",
    } | {f"{CODE_FOLDER}/{path}": text for path, text in code.items()}


def signature(contract: Contract) -> Any:
    """Return MLflow's signature (`ModelSignature`): the inputs by name, the prediction, and the parameter `predict_fn`.

    Every input has MLflow's type `Any`. With a narrower type MLflow converts what it gets before the contract can read
    it: in JSON, 1400.9 becomes 1400 and "7/4/2013" a date; in a DataFrame, dates as texts, integers as float64 and
    categories are rejected. With `Any` the contract reads every value, and says what is wrong with it.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    anything = AnyType()  # type: ignore[no-untyped-call]
    return ModelSignature(
        inputs=Schema([ColSpec(anything, name) for name in contract.for_requests().input_names]),
        outputs=Schema([ColSpec(DataType[_output_type(contract)])]),
        params=ParamSchema([ParamSpec(PREDICT_FN, DataType.string, PREDICT)]),
    )


def requirements(artifact: Artifact) -> list[str]:
    """Return the requirements of an environment that gives these predictions: libraries as at the fit, the engine."""
    libraries = [
        f"{name}=={pin}" for name, pin in artifact.manifest.libraries.items() if name not in ("python", "skline")
    ]
    return [f"mlflow-skinny=={version('mlflow-skinny')}", *libraries, engine_requirement()]


def engine_requirement() -> str:
    """Return the requirement that installs this engine from where it was installed (PEP 610), else its version."""
    text = distribution("skline").read_text("direct_url.json")
    if text is None:
        return f"skline=={version('skline')}"
    origin = json.loads(text)
    if vcs := origin.get("vcs_info"):
        return f"skline @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    return f"skline @ {origin['url']}"


def _mlmodel(artifact: Artifact, python: str, *, has_code: bool) -> str:
    """Return the text of the file MLmodel."""
    from mlflow.models import Model

    manifest = artifact.manifest
    model = Model(
        model_uuid=artifact.digest[:32],
        signature=signature(artifact.contract),
        saved_input_example_info={
            "artifact_path": INPUT_EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
            "serving_input_path": SERVING_EXAMPLE,
        },
        metadata={
            "version": artifact.version,
            "artifact_sha256": artifact.digest,
            "task": manifest.task,
            "inputs": {column.name: _describe_type(column) for column in artifact.contract.for_requests().inputs},
        },
    )
    model.add_flavor(
        "python_function",
        loader_module=LOADER_MODULE,
        python_version=python,
        data=ARTIFACT_FOLDER,
        env={"virtualenv": PYTHON_ENV, "conda": CONDA_ENV},
        **({"code": CODE_FOLDER} if has_code else {}),
    )
    return str(model.to_yaml())


def _describe_type(column: Column) -> str:
    return column.kind + (", may be missing" if column.nullable else "")


def _input_example(artifact: Artifact) -> dict[str, list[Any]]:
    """Return a golden row as a table."""
    row = artifact.golden.rows[0]
    names = artifact.contract.for_requests().input_names
    return {"columns": list(names), "data": [[row[name] for name in names]]}


def _output_type(contract: Contract) -> str:
    """Return the name of MLflow's type of a prediction."""
    if contract.classes is None:
        return "double"
    types = {bool: "boolean", int: "long", float: "double", str: "string"}
    return types[type(contract.classes[0])]
