# %% [markdown]
# # A model in a notebook
#
# This file is a notebook in the percent format: VS Code, PyCharm and Spyder open it as it is, JupyterLab with jupytext.
# It names no column, so it works in every project. It is not part of a new project: copy it into any folder of yours,
# such as `notebooks/`, and run `uv run dvc repro` first. Editors need a kernel:
# `uv add --dev ipykernel`.

# %%
import pandas as pd

import skline

model = skline.load()
model

# %% [markdown]
# The golden rows of the artifact are examples of the inputs. `predict` takes a DataFrame, an Arrow table, or rows as a
# client of the service sends them, and returns what the service returns.

# %%
rows = pd.DataFrame(model.artifact.golden.rows)
rows.join(model.predict(rows)).head()

# %% [markdown]
# The contract reads every value. A value of a wrong type is an error that names the row, the column and the rule.

# %%
first_input = model.contract.input_names[0]
wrong = [dict(row) for row in model.artifact.golden.rows[:3]]
wrong[1][first_input] = ["a list"]
try:
    model.predict(wrong)
except skline.SklineError as error:
    print(error)

# %% [markdown]
# An explanation says how much each input has added to the score. Its line `scale` says what the score is: the log-odds
# of the explained class, its probability, or the predicted number.

# %%
model.explain(rows.head(3)).T

# %% [markdown]
# Registered versions are loaded by number or alias. This is the first one, next to the model above; after the first run
# of the pipeline they are the same. The first access to the registry takes 5 to 40 seconds: MLflow starts slowly.

# %%
name = model.artifact.manifest.registered_model
older, newer = skline.load(f"models:/{name}/1"), model
pd.DataFrame({each.version: each.artifact.manifest.metrics.get("model", {}) for each in (older, newer)})

# %%
# The predicted number of a regression, the probability of the last class of a classifier.
score = "prediction" if model.contract.task == "regression" else newer.predict(rows).columns[-1]
change = newer.predict(rows)[score] - older.predict(rows)[score]
rows.join(change.rename("change")).sort_values("change", key=abs, ascending=False).head()
