"""`skline init`: infer the files of src/model and params.yaml from a table and the name of its target."""
