"""The stages of the pipeline, one file each: a pure function, and a `main` that reads, calls and writes."""

#: In the order of the pipeline, as in dvc.yaml. `skline.engine` lists the code of each.
STAGES = ("ingest", "validate", "split", "train", "tune", "evaluate", "package", "assess", "gate", "register")
