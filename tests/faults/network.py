"""A network of the test's own: for every zone a namespace with one address, all of them on one bridge, and the test's
process at the bridge itself. Needs root, and leaves nothing behind.

A host is cut off from another by telling it a wrong hardware address for it: its packets leave, reach nobody and are
not answered, as on a real line; nobody is told.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "psephos-"
NOWHERE = "02:00:00:00:00:01"
_towns = itertools.count()
HERE = "here"
"""The name of the test's own process."""


class Network:
    """Hosts by name. `address` gives a host's, `namespace` the path of its namespace."""

    def __init__(self, tag: str, subnet: str) -> None:
        self._tag, self._subnet = tag, subnet
        self._bridge = f"ps{tag}b"
        self._numbers: dict[str, int] = {HERE: 1}
        self._cuts: set[tuple[str, str]] = set()

    def make(self) -> None:
        ip("link", "add", self._bridge, "type", "bridge", "forward_delay", "0")
        ip("addr", "add", f"{self.address(HERE)}/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")

    def add(self, host: str) -> None:
        number = self._numbers[host] = len(self._numbers) + 1
        space, outer, inner = self._space(host), f"ps{self._tag}o{number}", f"ps{self._tag}i{number}"
        ip("netns", "add", space)
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
        ip("link", "set", outer, "master", self._bridge, "up")
        ip("-n", space, "addr", "add", f"{self.address(host)}/24", "dev", inner)
        ip("-n", space, "link", "set", inner, "up")
        ip("-n", space, "link", "set", "lo", "up")

    def address(self, host: str) -> str:
        return f"{self._subnet}.{self._numbers[host]}"

    def namespace(self, host: str) -> str:
        return f"/run/netns/{self._space(host)}"

    def cut(self, a: str, b: str) -> None:
        """Nothing that `a` sends reaches `b` any more; what `b` sends still reaches `a`."""
        self._cuts.add((a, b))
        self._neighbour(a, b, "replace", "lladdr", NOWHERE, "nud", "permanent")

    def heal(self) -> None:
        """All reach all."""
        while self._cuts:
            self._neighbour(*self._cuts.pop(), "delete")

    def remove(self) -> None:
        for host, number in self._numbers.items():
            if host != HERE:
                # The line first: a namespace stays for as long as a process in it is ending.
                for what in (["link", "delete", f"ps{self._tag}o{number}"], ["netns", "delete", self._space(host)]):
                    with suppress(subprocess.CalledProcessError):
                        ip(*what)
        with suppress(subprocess.CalledProcessError):
            ip("link", "delete", self._bridge)

    def _space(self, host: str) -> str:
        return f"{PREFIX}{self._tag}-{host}"

    def _neighbour(self, a: str, b: str, what: str, *more: str) -> None:
        where = [] if a == HERE else ["-n", self._space(a)]
        device = self._bridge if a == HERE else f"ps{self._tag}i{self._numbers[a]}"
        ip(*where, "neigh", what, self.address(b), "dev", device, *more)


@contextmanager
def network(*hosts: str) -> Iterator[Network]:
    """These hosts, each reaching all."""
    remove_stale()
    made = Network(f"{os.getpid()}{'abcdefghij'[next(_towns) % 10]}", free_subnet())
    try:
        made.make()
        for host in hosts:
            made.add(host)
        yield made
    finally:
        made.remove()


def remove_stale() -> None:
    """Whoever was killed, and not only interrupted, has left its networks."""
    for line in ip("netns", "list").splitlines():
        found = re.match(rf"{PREFIX}((\d+)[a-j])-\S+", line)
        if found and not Path(f"/proc/{found[2]}").exists():
            for what in (["netns", "delete", found[0]], ["link", "delete", f"ps{found[1]}b"]):
                with suppress(subprocess.CalledProcessError):
                    ip(*what)


def free_subnet() -> str:
    """The first three numbers of 256 private addresses that nobody on this machine has."""
    taken = {route["dst"] for route in json.loads(ip("-j", "route", "show", "table", "all"))}
    while True:
        subnet = f"10.{random.randrange(128, 255)}.{random.randrange(256)}"
        if f"{subnet}.0/24" not in taken:
            return subnet


def ip(*arguments: str) -> str:
    """What the command printed. CalledProcessError if it fails."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
