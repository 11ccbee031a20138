"""A demo that is asked to end ends, even where the exception got lost."""

import os
import signal

import pytest

from node.demo import interrupt


@pytest.fixture(autouse=True)
def handlers():
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    interrupt.install()
    yield
    interrupt.install()
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_lost_interrupt_is_found_by_whoever_looks(number):
    interrupt.look()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)  # raised here and, as in a finaliser, forgotten
    with pytest.raises(KeyboardInterrupt):
        interrupt.look()
