"""`skline.local_processes`: results in the order of the tasks, each process with its share of the threads."""

import os

import joblib
import pytest

from skline.errors import SklineError
from skline.local_processes import LocalProcesses
from tests.fixtures.calls import end_process, where


def test_processes_of_this_machine_yield_results_in_the_order_of_the_tasks() -> None:
    results = list(LocalProcesses().map(where, 10, range(3)))
    assert [number for number, _, _ in results] == [10, 11, 12]
    processes = {process for _, process, _ in results}
    assert os.getpid() not in processes
    assert len(processes) == min(joblib.cpu_count(), 3)
    assert {int(threads) for _, _, threads in results} == {max(1, joblib.cpu_count() // 3)}


def test_an_error_says_that_a_process_of_this_machine_ended() -> None:
    with pytest.raises(SklineError, match="a process on this machine ended before its work was done"):
        list(LocalProcesses().map(end_process, 10, [0]))
