"""`psephos outbox backup` beside a running service, and `psephos outbox restore` on another disk."""

from __future__ import annotations

import signal
import subprocess

from infra.postgres import Cluster
from tests.door.conftest import signed
from tests.door.test_process import PSEPHOS, Town, town
from tests.loopback import PATIENCE, wait_until

__all__ = ["town"]


def psephos(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*PSEPHOS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def on_another_disk(town: Town, cluster: Cluster) -> None:
    """The database is lost; the service's settings name another one, empty."""
    owner, role, name = "other_owner", "other_door", "other_outbox"
    cluster.create_database(name, owner, [role])
    own = ["--database", cluster.url(owner, name), "--passfile", cluster.passfile(owner), "--role", role]
    assert psephos("schema", "intake", *own).returncode == 0
    town.config |= {"database": f"'{cluster.url(role, name)}'", "passfile": f"'{cluster.passfile(role)}'"}
    town.write()


def test_a_copy_made_while_the_service_runs_is_what_another_disk_goes_on_with(town: Town, cluster: Cluster) -> None:
    town.silent = True
    copy, config = town.folder / "copy", town.folder / "intake.toml"
    with town.process() as (client, process):
        texts = [town.place.text(account) for account in range(3)]
        answered = {raw: client.accepted(raw) for raw in texts[:2]}
        done = psephos("outbox", "backup", "--config", config, "--out", copy)
        assert (done.returncode, done.stdout) == (0, f"{copy}: 2 promises\n"), done.stderr
        client.accepted(texts[2])
        # Beside it, a copy would come in behind its back.
        beside = psephos("outbox", "restore", copy, "--config", config)
        text = f"psephos: the intake service is at work on this outbox: stop it, then restore {copy}\n"
        assert (beside.returncode, beside.stderr) == (1, text)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    on_another_disk(town, cluster)

    damaged = town.folder / "damaged"
    damaged.write_bytes(copy.read_bytes()[:-1])
    done = psephos("outbox", "restore", damaged, "--config", config)
    assert done.returncode == 1 and done.stderr.startswith(f"psephos: {damaged}: is damaged: "), done.stderr
    done = psephos("outbox", "restore", copy, "--config", config)
    assert (done.returncode, done.stdout) == (0, f"{copy}: 2 promises that were not known here\n"), done.stderr
    done = psephos("outbox", "backup", "--config", config, "--out", copy)
    assert done.returncode == 1 and "exists already" in done.stderr

    town.silent = False
    with town.process() as (client, _):
        wait_until(lambda: client.ready)
        assert {raw: client.post(raw).json() for raw in answered} == answered
        # What was promised after the copy, the voter hands in again.
        assert client.post(texts[2]).status_code == 201
        entries = {signed(raw, answer["line"]).raw for raw, answer in answered.items()}
        wait_until(lambda: entries < set(town.put))
