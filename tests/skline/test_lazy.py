"""A deferred package costs nothing at the start, and is itself for whoever uses it; plugins are read once."""

import subprocess
import sys

from tests.demo import ROOT

SET_UP = """
import pickle, sys
from skline.lazy import Deferred, defer
from skline.stages.__main__ import SCIKIT_LEARN
for package, names in SCIKIT_LEARN:
    defer(package, names)
"""


def python(script: str) -> None:
    command = [sys.executable, "-W", "error", "-c", SET_UP + script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_stages_start_without_loading_it() -> None:
    python("""
import skline.stages.train, skline.stages.evaluate, sklearn.ensemble, sklearn.linear_model, sklearn.metrics
assert isinstance(sys.modules["scipy.stats"], Deferred)
assert isinstance(sys.modules["numpy.f2py"], Deferred)
assert not [name for name in sys.modules if name.startswith(("scipy.stats.", "numpy.f2py."))]
""")


def test_a_function_had_by_name_is_the_packages() -> None:
    python("""
import sklearn.metrics
from scipy.stats import chi2, rankdata
assert rankdata([30, 10]).tolist() == [2, 1]
import scipy.stats
assert not isinstance(scipy.stats, Deferred)
assert chi2.cdf(1, 2) == scipy.stats.chi2.cdf(1, 2)
assert pickle.loads(pickle.dumps(rankdata)) is scipy.stats.rankdata
""")


def test_a_deferred_part_of_a_package_is_had_from_it() -> None:
    python("""
import numpy
assert numpy.f2py.get_include().endswith("src")
import numpy.f2py as named
assert not isinstance(named, Deferred) and named is numpy.f2py is sys.modules["numpy.f2py"]
""")


def test_any_other_name_and_any_submodule_load_it_once() -> None:
    python("""
from scipy.stats import norm
import scipy.stats
assert norm is scipy.stats.norm and norm.cdf(0) == 0.5
""")
    python("""
import scipy.stats.mstats
import scipy.stats._morestats as inside
assert scipy.stats.mstats is sys.modules["scipy.stats.mstats"]
assert scipy.stats.anderson is inside.anderson
""")
    python("""
from scipy import stats
from scipy.stats.distributions import expon
assert expon is stats.expon
""")


def test_what_is_installed_is_read_once_for_all_who_ask_for_plugins() -> None:
    python("""
from importlib import metadata
from skline.lazy import read_entry_points_once
expected = tuple(metadata.entry_points(group="console_scripts", name="skline"))
reads, distributions = [], metadata.distributions
metadata.distributions = lambda: reads.append("read") or distributions()
read_entry_points_once()
for _ in range(3):
    assert tuple(metadata.entry_points(group="console_scripts", name="skline")) == expected
    assert not metadata.entry_points(group="no.such.group")
assert (len(expected), reads) == (1, ["read"])
""")
