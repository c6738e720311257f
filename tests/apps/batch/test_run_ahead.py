import threading

import pytest

from clip_surgery.apps.batch.run_ahead import run_ahead

SECONDS = 30


def threads_named(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_items_keep_their_order_for_any_number_ahead():
    for ahead in (1, 2, 50):
        assert list(run_ahead(iter(range(20)), name="ahead", ahead=ahead)) == list(range(20))
    assert list(run_ahead(iter(()), name="ahead")) == []


def test_the_next_item_is_computed_while_one_is_used():
    begun = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in run_ahead(items(), name="ahead"):
        if number + 1 < len(begun):  # otherwise this would wait for ever
            assert begun[number + 1].wait(SECONDS)


def test_no_more_items_are_computed_than_allowed():
    computed = []

    def items():
        for number in range(20):
            computed.append(number)
            yield number

    for used, _ in enumerate(run_ahead(items(), name="ahead", ahead=2), start=1):
        assert len(computed) <= used + 2


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_is_raised_after_the_items_before_it(error):
    def items():
        yield 1
        yield 2
        raise error

    numbers = run_ahead(items(), name="ahead")
    assert [next(numbers), next(numbers)] == [1, 2]
    with pytest.raises(type(error)):
        next(numbers)
    assert not threads_named("ahead")


def test_closing_it_closes_the_iterator_and_ends_the_thread():
    closed = []

    def items():
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    numbers = run_ahead(items(), name="ahead")
    assert next(numbers) == 0
    numbers.close()
    assert [name.startswith("ahead") for name in closed] == [True]
    assert not threads_named("ahead")
