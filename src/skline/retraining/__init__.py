"""`skline retrain`: decide from monitoring, the log and the releases whether to train again, and do it.

The package reads what monitoring, the logs, the registry and the releases wrote; only the commands import it.
"""
