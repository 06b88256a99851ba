# %% [markdown]
# # A model in a notebook
#
# This file is a notebook in the percent format: VS Code, PyCharm and Spyder open it as it is, JupyterLab with jupytext.
# Run `uv run dvc repro` first, and this file in any folder of the project.

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
wrong = rows.head(3).astype({"distance": object})
wrong.loc[1, "distance"] = "far"
try:
    model.predict(wrong)
except skline.SklineError as error:
    print(error)

# %% [markdown]
# An explanation says how much each input has added to the score: here log-odds of the second class.

# %%
model.explain(rows.head(3)).T

# %% [markdown]
# Registered versions are loaded by number or alias. These are the first one and the latest; after the first run of the
# pipeline they are the same.

# %%
name = model.artifact.manifest.registered_model
older, newer = skline.load(f"models:/{name}/1"), skline.load(f"models:/{name}@challenger")
pd.DataFrame({each.version: each.artifact.manifest.metrics.get("model", {}) for each in (older, newer)})

# %%
change = pd.Series(newer.predict_proba(rows)[:, 1] - older.predict_proba(rows)[:, 1], rows.index, name="change")
rows.join(change).sort_values("change", key=abs, ascending=False).head()
