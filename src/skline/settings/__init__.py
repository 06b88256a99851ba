"""params.yaml as typed models: unknown keys are errors, and every key has a default where one is sensible."""

from skline.settings.monitor import Monitor
from skline.settings.project import Package, Project, Register, ReleaseSettings, Settings, Validate
from skline.settings.retrain import Retrain
from skline.settings.training import Range, Search, Train
from skline.split_rule import Split

__all__ = [
    "Monitor",
    "Package",
    "Project",
    "Range",
    "Register",
    "ReleaseSettings",
    "Retrain",
    "Search",
    "Settings",
    "Split",
    "Train",
    "Validate",
]
