"""One computation at a time: order, a full queue, and the limit of time."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from ecgpipe.apply_model.server.turns import QUEUE, Deadline, Refused, Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns()
    yield made
    made.close()


def test_two_at_once_are_computed_one_after_the_other(turns: Turns) -> None:
    running = most = 0

    def compute(_: Deadline) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.02)
        running -= 1
        return threading.get_ident()

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(turns.take(compute, 10) for _ in range(QUEUE)))

    assert len(set(asyncio.run(all_of_them()))) == 1
    assert most == 1


def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_room(turns: Turns) -> None:
    go_on = threading.Event()

    async def scene() -> None:
        waiting = [
            asyncio.create_task(turns.take(lambda _: go_on.wait(10), 20)) for _ in range(QUEUE)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(Refused) as refused:
            await turns.take(lambda _: True, 20)
        assert refused.value.status == 503
        assert "Try again" in refused.value.reason["en"]
        go_on.set()
        assert await asyncio.gather(*waiting) == [True] * QUEUE
        assert await turns.take(lambda _: "room", 20) == "room"

    asyncio.run(scene())


class Endless:
    """A computation without an end, which looks at its deadline."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, deadline: Deadline) -> None:
        self.begun.set()
        try:
            while True:
                time.sleep(0.01)
                deadline.check()
        finally:
            self.ended.set()


def test_who_waits_too_long_is_told_and_the_computation_ends_where_it_looks(turns: Turns) -> None:
    endless = Endless()

    async def scene() -> None:
        start = time.monotonic()
        with pytest.raises(Refused, match=r"not done within 0\.2 s"):
            await turns.take(endless, 0.2)
        assert time.monotonic() - start < 5
        assert await turns.take(lambda _: 7, 10) == 7  # the thread is free again

    asyncio.run(scene())
    assert endless.ended.is_set()


def test_one_whose_time_passed_in_the_queue_is_never_begun(turns: Turns) -> None:
    begun = []

    async def scene() -> None:
        slow = asyncio.create_task(turns.take(lambda _: time.sleep(0.5), 10))
        await asyncio.sleep(0.05)
        with pytest.raises(Refused):
            await turns.take(lambda _: begun.append(1), 0.1)
        await slow
        assert await turns.take(lambda _: 7, 10) == 7

    asyncio.run(scene())
    assert begun == []


def test_closing_ends_what_runs() -> None:
    turns, endless = Turns(), Endless()

    async def scene() -> None:
        running = asyncio.create_task(turns.take(endless, 60))
        await asyncio.to_thread(endless.begun.wait, 10)
        turns.close()
        with pytest.raises(Refused):
            await running

    asyncio.run(scene())
    assert endless.ended.wait(10)
