"""What a search prints: what has been trained, how many of how many, and how long it will take."""

from __future__ import annotations

import time

from joblib import effective_n_jobs

from .training import FoldScores

__all__ = ["Countdown", "spell"]

# Seconds from one line to the next, where not each training has one.
INTERVAL = 5.0


class Countdown:
    """Prints a line for trainings that are over; to be called with the number of each, as it ends.

    The time left is that for as many trainings again as there are left, at the pace so far, and for
    those on all rows. It is told as soon as there have been as many as are made at a time.

    Parameters
    ----------
    names : list of str
        What each training is.
    n_more : int
        Trainings on all rows that will follow.
    n_jobs : int or None
        As in joblib.
    every : bool
        Whether each training has a line; otherwise there is one every few seconds, and at the end.
    """

    def __init__(self, names: list[str], n_more: int, n_jobs: int | None, every: bool):
        self.names = names
        self.n_more = n_more
        self.at_a_time = min(effective_n_jobs(n_jobs), len(names))
        self.every = every
        self.n_done = 0
        self.busy = 0.0
        self.start = self.told = time.perf_counter()

    def __call__(self, number: int, found: FoldScores) -> None:
        """Note that a training is over, and perhaps print it."""
        self.n_done += 1
        self.busy += found.fit_time
        now = time.perf_counter()
        n_left = len(self.names) - self.n_done
        if not self.every and n_left and now - self.told < INTERVAL:
            return
        self.told, gone = now, now - self.start
        line = f"[{self.n_done}/{len(self.names)}] {self.names[number]}: "
        line += found.error or spell(found.fit_time)
        line += f"; {spell(gone)} so far"
        left = (gone * n_left + self.busy * self.n_more) / self.n_done
        if left and self.n_done >= self.at_a_time:
            line += f", about {spell(left)} left"
        print(line, flush=True)


def spell(seconds: float) -> str:
    """Return a time as people read it.

    Examples
    --------
    >>> [spell(t) for t in (0.31, 59.4, 59.6, 3599.6, 7260)]
    ['0.3 s', '59 s', '1 min 00 s', '1 h 00 min', '2 h 01 min']
    """
    if round(seconds) < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
