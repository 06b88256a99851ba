"""`skline init`: a table and the name of its target → the files of src/model, params.yaml, and what was guessed."""
