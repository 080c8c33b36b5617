"""A custodian's settings: with keys that are not the manifest's its cosignatures would not count: it does not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.protocol.refused import Refused
from infra.config import ConfigError
from tests.simulator.meeting import Meeting
from vault.custodian.config import check_office
from vault.custodian.serve import run


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


def test_the_keys_are_those_of_one_custodian_of_every_manifest(meeting: Meeting) -> None:
    first, second = meeting.parties.custodians[:2]
    check_office(Path("custodian.toml"), [meeting.manifest], first)
    check_office(Path("custodian.toml"), [meeting.manifest], second[::-1])
    stranger = Meeting(seed=2).parties.custodians[0]
    for wrong in ((), first[:1], (first[0], second[1]), (*first, *second), stranger):
        with pytest.raises(ConfigError, match=r"custodian\.toml: key `keys`"):
            check_office(Path("custodian.toml"), [meeting.manifest], wrong)


def test_a_manifest_that_its_officials_have_not_signed_is_refused(meeting: Meeting, tmp_path: Path) -> None:
    raw = meeting.signed("manifest", meeting.body, meeting.parties.officials[0])
    (tmp_path / "manifest").write_bytes(raw)
    database = 'database = "postgresql+psycopg://x@/x"'
    lines = ['listen = "127.0.0.1:1"', database, 'passfile = "x"', 'token = "x"', 'manifests = ["manifest"]']
    (tmp_path / "custodian.toml").write_text("\n".join([*lines, "keys = []"]) + "\n")
    with pytest.raises(Refused, match="manifest") as refused:
        run(tmp_path / "custodian.toml")
    assert refused.value.reason == "wrong-signers"
