"""A custodian that lies or is slow, clocks that are wrong, connections that are held open byte by byte: none of them
keeps the log from going on, and nothing is lost by them.
"""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.client import Client
from tests.faults.lying import LIES
from tests.faults.spawner import SHORTER
from tests.faults.zones import PORT

TWO_DAYS = 2 * 24 * 3600.0
DRIPPING = 60
"""Connections to each service."""
HEAD = b"POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize("lie", LIES)
def test_a_custodian_that_is_not_honest_stops_nobody(client: Client, lie: str) -> None:
    zones = client.zones
    with client.load():
        zones.restart("custodian-1", lies=lie)
        client.grows("custodian-0", by=40)
    client.check("custodian-1")
    zones.restart("custodian-1")
    client.check()
    client.check_ledger()


def test_what_one_liar_and_one_other_say_is_not_enough(client: Client) -> None:
    zones = client.zones
    with client.load():
        zones.restart("custodian-1", lies="equivocate")
        client.grows()
        zones.kill("custodian-2")
        client.stands_still()
        zones.start("custodian-2")
        client.grows()
        zones.restart("custodian-1")
    client.check()
    client.check_ledger()


def test_a_custodian_whose_clock_is_two_days_back_signs_nothing(client: Client) -> None:
    zones = client.zones
    with client.load():
        zones.restart("custodian-1", ahead=-TWO_DAYS)
        client.wait(lambda: client.size("custodian-1") > 0)
        before = client.held("custodian-1")
        client.grows("custodian-0", by=30)
        assert client.held("custodian-1") == before
        zones.restart("custodian-1")
    client.check()


def test_two_clocks_two_days_back_and_nothing_is_published(client: Client) -> None:
    zones = client.zones
    with client.load():
        client.grows()
        for name in ("custodian-1", "custodian-2"):
            zones.restart(name, ahead=-TWO_DAYS)
        client.stands_still()
        for name in ("custodian-1", "custodian-2"):
            zones.restart(name)
        client.grows()
    client.check()
    client.check_ledger()


def test_a_custodian_whose_clock_runs_double_signs_again_once_the_time_has_come(client: Client) -> None:
    zones = client.zones
    with client.load():
        zones.restart("custodian-1", rate=2.0)
        client.wait(lambda: client.size("custodian-1") > 0)
        client.grows("custodian-1", by=30)
        zones.restart("custodian-1")
    client.check()


@pytest.mark.parametrize("clock", [{"ahead": -TWO_DAYS}, {"rate": 2.0}], ids=["two days back", "running double"])
@pytest.mark.parametrize("name", ["tally", "intake"])
def test_the_clock_of_tally_or_intake_loses_nothing(client: Client, name: str, clock: dict[str, float]) -> None:
    zones = client.zones
    with client.load():
        zones.restart(name, **clock)
        client.grows(by=30)
        zones.restart(name)
        client.grows()
    client.check()
    client.check_ledger()


def test_connections_held_open_byte_by_byte_to_every_service(client: Client) -> None:
    zones = client.zones
    services = [name for name in zones.names if name != "tally"]
    with client.load(), dripping([zones.network.address(name) for name in services]) as connections:
        zones.faults += len(connections)
        client.grows(by=30)
        for name in ("custodian-1", "custodian-2"):
            assert client.size(name)
        client.wait(lambda: all(map(ended, connections)), 10 * SHORTER["infra.connections.HEAD_SECONDS"])
    client.check()


@contextmanager
def dripping(addresses: list[str]) -> Iterator[list[socket.socket]]:
    """Many connections to each address: of half of them the head comes byte by byte, of half the body."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    connections: list[socket.socket] = []
    stop = threading.Event()

    def drip() -> None:
        position = 0
        while not stop.wait(0.2):
            for number, connection in enumerate(connections):
                try:
                    connection.sendall(b"x" if number % 2 else HEAD[position % 20 : position % 20 + 1])
                except OSError:
                    continue
            position += 1

    try:
        for address in addresses:
            for number in range(DRIPPING):
                connection = socket.create_connection((address, PORT), 5)
                connections.append(connection)
                if number % 2:
                    connection.sendall(HEAD)
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield connections
    finally:
        stop.set()
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ended(connection: socket.socket) -> bool:
    """Whether the other side has closed it, whatever it said before."""
    try:
        connection.setblocking(False)
        while connection.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True
