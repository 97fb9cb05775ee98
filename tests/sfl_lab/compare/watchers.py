"""Watchers of contests for the tests."""

from collections.abc import Callable


class Recorder:
    """Remembers what it is told, and does something after every round."""

    def __init__(self, on_round: Callable[[], object] = lambda: None) -> None:
        self.records: list[str] = []
        self.rounds = 0
        self.problems: list[str] = []
        self._on_round = on_round

    def on_record(self, label: str, number: int) -> None:
        self.records.append(label)

    def on_round(self) -> None:
        self.rounds += 1
        self._on_round()

    def on_damage(self, problem: str) -> None:
        self.problems.append(problem)


class StopError(Exception):
    """Stands for whatever interrupts a contest."""


def stopping_after(rounds: int) -> Recorder:
    """Return a watcher that interrupts the contest in the round after so many."""

    def stop() -> None:
        if watcher.rounds > rounds:
            raise StopError

    watcher = Recorder(stop)
    return watcher
