"""An election with real services in which intake's key, the log's and a custodian are replaced midway: votes before,
between and after, and a record that anybody verifies.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Signer
from infra.demo.agenda import agenda
from infra.demo.holdings import Account, draw_accounts
from infra.demo.meeting import count, holding, issue, prepare
from infra.demo.offices import ORIGIN
from infra.demo.processes import Stop, end
from infra.demo.published import published
from infra.demo.register import write_ballots
from infra.demo.rooms import create_custodians
from infra.demo.services import free_addresses
from infra.demo.stage import Stage, Timer, stage
from infra.demo.toml import to_toml
from infra.keys import new_token, write_secret
from tests.simulator.dice import Dice

SEED = 7
FIGURES = published()


class House:
    """The stage, and what a test changes on it while the election runs."""

    def __init__(self, running: Stage) -> None:
        self.running = running
        self.settings: dict[str, dict[str, Any]] = {}
        self.dice = Dice(90)

    def restart(self, name: str, **changes: Any) -> None:
        """Ends a service, changes its settings, and starts it again."""
        room = self.running.services._rooms[name]
        processes = self.running.processes
        for process in [one for one in processes.services if one.name == name]:
            processes.services.remove(process)
            end(process, 10.0)
        config = room.folder / "config.toml"
        settings = {**tomllib.loads(config.read_text()), **changes}
        config.unlink()
        room.configure(settings)
        room.serve(processes, "custodian" if name.startswith("custodian") else name)
        self.healthy(name)

    def healthy(self, name: str) -> None:
        services = self.running.services
        if name in services.listens:
            self.running.processes.wait_healthy({name: f"http://{services.listens[name]}/healthz"}, 60.0)

    def stop(self, name: str) -> None:
        processes = self.running.processes
        (process,) = [one for one in processes.services if one.name == name]
        processes.services.remove(process)
        end(process, 10.0)

    def key(self, room: str, name: str, kind: int) -> tuple[Path, str]:
        """A new key in a room's folder: its file, and the public key."""
        signer: Signer = self.dice.signer(name, kind)
        path = self.running.desk / f"new-{name.replace('/', '-')}-{kind}.key"
        write_secret(path, signer.private + "\n")
        return self.running.services._rooms[room].keep(path), signer.vkey

    def rekey(self, office: str, name: str, *vkeys: str) -> None:
        new = [word for vkey in vkeys for word in ("--new", vkey)]
        officials = self.running.officials()
        self.running.run(f"rekey-{office}", "election", "rekey", "--office", office, "--name", name, *new, *officials)

    def vote(self, accounts: tuple[Account, ...], name: str) -> None:
        running = self.running
        ballots = running.desk / f"ballots-{name}.csv"
        write_ballots(ballots, accounts, FIGURES)
        running.run(f"vote-{name}", "vote", *holding(running, ballots), "--concurrency", "4", seconds=300.0)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    timer = Timer(Console(quiet=True))
    logs = tmp_path_factory.mktemp("rekeys") / "logs"
    with Stop() as stop, stage(lambda offices: agenda(FIGURES, offices), timer, stop, logs) as running:
        yield House(running)


def test_keys_are_replaced_while_people_vote(house: House, tmp_path: Path) -> None:
    running = house.running
    accounts = draw_accounts(FIGURES, 24, SEED)
    prepare(running)
    issue(running, accounts, SEED)
    present = tuple(account for account in accounts if account.present)
    third = len(present) // 3

    house.vote(present[:third], "before")
    replace_intake_key(house)
    house.vote(present[third : third + third // 2], "after-intake")
    replace_log_key(house)
    house.vote(present[third + third // 2 : 2 * third], "after-log")
    url = replace_custodian(house)
    house.vote(present[2 * third :], "after-custodian")
    result = count(running, len(present))

    # From the new custodian alone, which began with nothing when most had voted.
    record = tmp_path / "record"
    arguments = [f"{url}/{ORIGIN}", "--folder", str(record), "--manifest", running.manifest_hash]
    running.processes.run("export", ["export-record", *arguments], 120.0)
    command = ["verify", str(record), "--manifest", running.manifest_hash, "--result", str(result), "--json"]
    report = json.loads(running.processes.run("verify", command, 300.0))
    assert report["verified"] and report["phase"] == "certified" and report["result"]["ballots"] == len(present)
    assert [(one["office"], one["to"].split(".")[0]) for one in report["rekeys"]] == [
        ("intake", "intake-1"),
        ("log", "demo"),
        ("custodian", "custodian-4"),
    ]
    assert not report["refusals"]
    receipts_still_verify(house, len(present))


def replace_intake_key(house: House) -> None:
    """It lies ready, the officials say so, and the process goes on."""
    name = "intake-1.demo.psephos.example"
    file, vkey = house.key("intake", name, ED25519)
    house.restart("intake", next_key=str(file))
    house.rekey("intake", name, vkey)


def replace_log_key(house: House) -> None:
    files, vkeys = zip(*(house.key("tally", ORIGIN, kind) for kind in (ED25519, ML_DSA_44)), strict=True)
    room = house.running.services._rooms["tally"].folder
    old = [str(room / key.file.name) for key in house.running.offices.log]
    house.restart("tally", keys=[*old, *map(str, files)])
    house.rekey("log", ORIGIN, *vkeys)


def replace_custodian(house: House) -> str:
    """Another one, with a folder and no database, takes the third one's place, whose disk is gone; its address."""
    running = house.running
    room = running.services._rooms["custodian-3"]
    old, name = running.offices.custodians[2].vkey.split("+")[0], "custodian-4.demo.psephos.example"
    file, vkey = house.key("custodian-3", name, COSIGNATURE)
    draft = running.desk / "rekey.draft"
    running.run(
        "rekey-draft",
        *("election", "rekey", "--office", "custodian", "--name", old, "--to", name, "--new", vkey),
        *("--draft", draft),
    )
    running.run("rekey-sign", "election", "sign", draft, *running.officials())
    house.stop("custodian-3")
    (listen,) = free_addresses(1)
    place = room.place("held")
    place.mkdir(mode=0o700)
    room._own(place)
    token = running.desk / "custodian-4.token"
    new_token(token)
    settings = {
        "listen": listen,
        "folder": str(place),
        "token": str(room.keep(token)),
        "manifests": [str(room.folder / running.manifest.name)],
        "keys": [str(file)],
        "rekeys": [str(room.keep(draft))],
    }
    (room.folder / "config.toml").unlink()
    write_secret(room.folder / "config.toml", to_toml(settings))
    room._own(room.folder / "config.toml")
    create_custodians(running.processes, [room])
    room.serve(running.processes, "custodian")
    running.processes.wait_healthy({"custodian-4": f"http://{listen}/healthz"}, 60.0)
    tally = running.services._rooms["tally"]
    places = tomllib.loads((tally.folder / "config.toml").read_text())["custodians"]
    there = {"url": f"http://{listen}", "token": str(tally.keep(token))}
    house.restart("tally", custodians=[*places[:2], there])
    running.run("rekey-submit", "election", "submit", draft)
    return f"http://{listen}"


def receipts_still_verify(house: House, ballots: int) -> None:
    """Those from before every rekey, and those from after, by what lies in the voters' folder."""
    running = house.running
    folder = running.desk / "receipts"
    proofs = [str(path) for path in sorted(folder.glob("*.tlog-proof"))]
    command = ["verify-receipt", *proofs, "--manifest", running.manifest_hash, "--json"]
    shown = [json.loads(line) for line in running.processes.run("receipts", command, 120.0).splitlines()]
    kinds = [one["kind"] for one in shown]
    assert (kinds.count("ballot"), kinds.count("rekey")) == (ballots, 3)
