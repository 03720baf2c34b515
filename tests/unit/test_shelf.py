"""What a training keeps of every photo lies on the disk."""

import multiprocessing
import tracemalloc

import numpy as np
import pytest

from tag2mask.learn.shelf import Shelf


def test_values_come_back_in_any_order_as_copies():
    shelf = Shelf()
    assert len(shelf) == 0 and list(shelf) == []
    values = [{"a": np.arange(k, dtype=np.float16), "b": (k, None)} for k in range(5)]
    for value in values:
        shelf.append(value)
    for k in (3, 0, 4, 3):
        assert np.array_equal(shelf[k]["a"], values[k]["a"]) and shelf[k]["b"] == (k, None)
        assert shelf[k]["a"].dtype == np.float16
    shelf[2]["a"][:] = 7
    assert np.array_equal(shelf[2]["a"], [0, 1]) and len(list(shelf)) == 5
    with pytest.raises(IndexError):
        shelf[5]


def test_memory_holds_a_number_each():
    tracemalloc.start()
    shelf = Shelf()
    for _ in range(50):
        shelf.append(np.zeros(100_000, np.uint8))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 200_000 and len(shelf) == 50


def test_forked_processes_read_at_once():
    shelf = Shelf()
    for k in range(200):
        shelf.append(np.full(1000, k))
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()

    def read(order):
        found.put(all((shelf[k] == k).all() for k in order))

    readers = [context.Process(target=read, args=(order,)) for order in (range(200), range(199, -1, -1))]
    for one in readers:
        one.start()
    assert [found.get(), found.get()] == [True, True]
    for one in readers:
        one.join()
