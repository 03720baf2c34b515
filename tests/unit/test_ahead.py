"""Batches that are made ahead of their use, by other processes."""

import multiprocessing
import os
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from tag2mask.errors import UserError
from tag2mask.learn.ahead import Ahead
from tag2mask.learn.photos import read_ahead
from tag2mask.run.job import Job


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order(workers):
    with Ahead(lambda t: t * t, iterations=9, workers=workers) as ahead:
        assert [ahead(t) for t in range(3, 9)] == [9, 16, 25, 36, 49, 64]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_as_it_was(workers):
    def make(t):
        if t == 2:
            raise UserError("a.jpg changed its size.")
        return t

    with Ahead(make, iterations=4, workers=workers) as ahead:
        assert ahead(1) == 1
        with pytest.raises(UserError) as raised:
            ahead(2)
        assert str(raised.value) == "a.jpg changed its size."


def test_other_processes_make_them_and_end_with_it():
    before = set(psutil.Process().children())
    with Ahead(lambda t: (os.getpid(), torch.full((2,), t), np.arange(t)), iterations=6, workers=2) as ahead:
        made = [ahead(t) for t in range(6)]
        assert len({number for number, *_ in made} - {os.getpid()}) == 2
        assert all(torch.equal(one, torch.full((2,), t)) and len(two) == t for t, (_, one, two) in enumerate(made))
    for _ in range(100):
        if not set(psutil.Process().children()) - before:
            return
        time.sleep(0.1)
    raise AssertionError("workers outlive what they work for")


def test_no_more_is_made_than_is_soon_asked_for():
    """Batches of large photos fill the memory: of each process one lies ready while another is used."""
    made = multiprocessing.get_context("fork").Value("i", 0)

    def make(t):
        with made.get_lock():
            made.value += 1

    with Ahead(make, iterations=20, workers=2) as ahead:
        for t in range(4):
            ahead(t)
        time.sleep(0.5)
        assert made.value <= 4 + 2


def test_photos_are_read_by_other_processes_for_a_gpu():
    index = SimpleNamespace(photo=lambda i: (i, os.getpid()))
    places = np.array([5, 2, 7])
    here, there = (list(read_ahead(index, places, Job(device=one, workers=2))) for one in ("cpu", "cuda:0"))
    assert here == [(i, (i, os.getpid())) for i in places]
    assert [(i, n) for i, (n, _) in there] == [(i, i) for i in places] and os.getpid() not in {p for _, (_, p) in there}


def test_the_random_state_is_nobodys_business():
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    with Ahead(lambda t: t, iterations=2, workers=1) as ahead:
        ahead(0)
        assert torch.equal(torch.rand(1), wanted)
