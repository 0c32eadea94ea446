import os
import signal
import time

import pytest

from rbee_cli.up.interrupts import Interrupted, Interrupts


def test_first_signal_asks_and_a_later_one_insists() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # the same Ctrl-C, passed on by a parent
        assert not interrupts.is_insisting()
        time.sleep(Interrupts.APART_S)
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.is_insisting()
    assert signal.getsignal(signal.SIGTERM) == before
