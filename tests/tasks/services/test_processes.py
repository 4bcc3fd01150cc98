import os
import socket

import pytest

from tasks.services.processes import is_dead, this_process


def test_this_process_is_alive():
    assert this_process().startswith(f"{socket.gethostname()}:{os.getpid()}:")
    assert not is_dead(this_process())


def test_a_process_that_ended_is_dead():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, this_process().encode())
        os._exit(0)
    name = os.read(reader, 1000).decode()
    os.waitpid(child, 0)
    assert is_dead(name)


def test_another_process_with_the_same_number_is_not_the_same():
    host, number, started = this_process().split(":")
    assert is_dead(f"{host}:{number}:{int(started) - 1}")


@pytest.mark.parametrize("name", ["", "x", "elsewhere:1:1", "::", f"{socket.gethostname()}:x:1"])
def test_nothing_is_said_of_other_hosts_and_odd_names(name):
    assert not is_dead(name)
