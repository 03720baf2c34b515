"""Progress of long work: a line now and then, the same in terminal and log file."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

EVERY = 5.0  # seconds between lines
T = TypeVar("T")


def progress(
    items: Iterable[T],
    *,
    total: int | None = None,
    before: int = 0,
    unit: str = "photos",
    what: str = "",
    log: logging.Logger,
) -> Iterator[T]:
    """Yield `items`; every few seconds one log line says how many are done, how fast, and the time left.

    before : of the `total`, how many an earlier process has done; they count as done, but say nothing of the rate.
    """
    total = before + len(items) if total is None and isinstance(items, Sized) else total
    start = shown = time.monotonic()
    done = before
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - shown >= EVERY:
            shown = now
            log.info(line(what, done, total, unit, now - start, before=before))
    log.info(line(what, done, total, unit, time.monotonic() - start, before=before))


def line(what: str, done: int, total: int | None, unit: str, seconds: float, *, before: int = 0) -> str:
    """E.g. "proposals: 120/739 photos, 2.1/s, 04:55 left"."""
    rate = (done - before) / seconds if seconds > 0 else 0.0
    head = f"{what + ': ' if what else ''}{done}{f'/{total}' if total else ''} {unit}"
    if not total or done >= total or rate == 0:
        return f"{head}, {rate:.3g}/s, {tqdm.format_interval(seconds)} taken"
    return f"{head}, {rate:.3g}/s, {tqdm.format_interval((total - done) / rate)} left"
