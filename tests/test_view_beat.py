"""How often something is sent: the newest value, not too often, and the last one for certain."""

from __future__ import annotations

import threading
import time

import pytest

from dashnb.view.beat import Beat, Budget


class Receiver:
    """Takes what a beat sends; the first value may be held, so that others gather behind it."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.times: list[float] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._news = threading.Condition()

    def __call__(self, value: int) -> None:
        with self._news:
            self.values.append(value)
            self.times.append(time.monotonic())
            self._news.notify()
        assert self.may_go_on.wait(5)

    def wait_for(self, value: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: value in self.values, 5), self.values


def test_a_value_that_no_other_follows_is_sent() -> None:
    receiver = Receiver()
    beat = Beat(receiver, budget=Budget(pause=0.001))
    for value in (1, 2):
        beat.offer(value)
        receiver.wait_for(value)
    beat.close()
    assert receiver.values == [1, 2]


def test_of_values_that_come_while_one_is_sent_only_the_newest_is_sent() -> None:
    receiver = Receiver()
    receiver.may_go_on.clear()
    beat = Beat(receiver, budget=Budget(pause=0.001))
    beat.offer(0)
    receiver.wait_for(0)
    for value in range(1, 1000):
        beat.offer(value)
    receiver.may_go_on.set()
    receiver.wait_for(999)
    beat.close()
    assert receiver.values == [0, 999]


def test_two_messages_are_never_closer_than_the_pause() -> None:
    receiver = Receiver()
    beat = Beat(receiver, budget=Budget(pause=0.02))
    value = 0
    while len(receiver.values) < 5:
        beat.offer(value := value + 1)
    beat.close()
    gaps = [later - earlier for earlier, later in zip(receiver.times, receiver.times[1:], strict=False)]
    assert min(gaps) >= 0.02


def test_streams_share_what_a_server_lets_through() -> None:
    budget = Budget(pause=0.04, per_second=100)
    beats = [Beat(Receiver(), budget=budget) for _ in range(20)]
    assert budget.pause(100) == pytest.approx(0.2)
    for beat in beats:
        beat.close()
    assert budget.pause(100) == pytest.approx(0.04)


def test_the_first_messages_follow_one_another_faster_than_the_last() -> None:
    budget = Budget(first_pause=0.03, pause=0.08)
    pauses = [budget.pause(sent) for sent in range(100)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.03, 0.08)


def test_a_front_end_that_went_away_does_not_stop_the_next_message() -> None:
    receiver = Receiver()

    def send(value: int) -> None:
        receiver(value)
        if value == 1:
            raise OSError("gone")

    beat = Beat(send, budget=Budget(pause=0.001))
    for value in (1, 2):
        beat.offer(value)
        receiver.wait_for(value)
    beat.close()


def test_after_the_end_nothing_is_sent_and_closing_twice_is_no_harm() -> None:
    receiver = Receiver()
    budget = Budget(pause=0.04, per_second=1)
    beat = Beat(receiver, budget=budget)
    beat.close()
    beat.close()
    beat.offer(1)
    assert receiver.values == []
    assert budget.pause(0) == 0.035
