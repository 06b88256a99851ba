"""params.yaml as typed models: unknown keys are errors, and every key has a default where one is sensible."""

from skline.settings.monitor import Monitor
from skline.settings.project import EngineSettings, Package, Project, Register, ReleaseSettings, Settings, Validate
from skline.settings.retrain import Retrain
from skline.settings.training import Range, Search, Train, Weights
from skline.split_rule import Split

__all__ = [
    "EngineSettings",
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
    "Weights",
]
