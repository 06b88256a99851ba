"""Tests of skline.ids: random strings have their length and are unique, across threads and after a fork."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

from skline.ids import BUFFER_SIZE, RandomHex, new_prediction_id, new_prediction_ids


def test_threads_never_get_the_same_string() -> None:
    generate = RandomHex(10)
    with ThreadPoolExecutor(8) as pool:
        lists = pool.map(lambda _: [generate() for _ in range(BUFFER_SIZE)], range(16))
        strings = [string for strings in lists for string in strings]
    assert len(set(strings)) == len(strings) == 16 * BUFFER_SIZE
    assert all(len(string) == 20 and set(string) <= set("0123456789abcdef") for string in strings)


def test_forked_child_gets_other_strings_than_its_parent() -> None:
    generate = RandomHex(10)
    generate()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, "".join(generate() for _ in range(50)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(read, 1000).decode()
    assert len(text) == 1000
    assert not {text[start : start + 20] for start in range(0, 1000, 20)} & {generate() for _ in range(BUFFER_SIZE)}
    os.close(read)
    os.close(write)


def test_prediction_ids_are_version_7_uuids_and_start_with_the_time() -> None:
    for ids in ([new_prediction_id() for _ in range(1_000)], new_prediction_ids(1_000)):
        assert len(set(ids)) == 1_000
        assert {uuid.UUID(each).version for each in ids} == {7}
        assert {uuid.UUID(each).variant for each in ids} == {uuid.RFC_4122}
        assert [each[:12] for each in ids] == sorted(each[:12] for each in ids)
