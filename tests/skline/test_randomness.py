"""Random names are of their length, and none comes twice: not from threads, and not from a fork."""

import os
from concurrent.futures import ThreadPoolExecutor

from skline.randomness import STORE, RandomHex


def test_threads_never_share_a_name() -> None:
    name = RandomHex(10)
    with ThreadPoolExecutor(8) as pool:
        names = [found for part in pool.map(lambda _: [name() for _ in range(STORE)], range(16)) for found in part]
    assert len(set(names)) == len(names) == 16 * STORE
    assert all(len(found) == 20 and set(found) <= set("0123456789abcdef") for found in names)


def test_a_fork_has_names_of_its_own() -> None:
    name = RandomHex(10)
    name()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, "".join(name() for _ in range(50)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 1000).decode()
    assert len(theirs) == 1000
    assert not {theirs[start : start + 20] for start in range(0, 1000, 20)} & {name() for _ in range(STORE)}
    os.close(read)
    os.close(write)
