"""A face of the queue that is given the other's role does not start, and says whose it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from infra import database
from infra.config import ConfigError
from infra.keys import new_token
from infra.queue import egress, ingress
from infra.queue.face import check_role
from tests.queue.conftest import Queue


@pytest.mark.parametrize(
    ("face", "given", "run", "asks"),
    [
        ("ingress", "egress", ingress.run, "intakes = { intake-1 = 'token' }"),
        ("egress", "ingress", egress.run, "token = 'token'"),
    ],
)
def test_the_other_faces_role_is_refused_at_the_start(
    queue: Queue, tmp_path: Path, face: str, given: str, run: object, asks: str
) -> None:
    new_token(tmp_path / "token")
    values = {**queue.settings[given], "listen": "192.0.2.1:1"}
    (tmp_path / "toml").write_text("".join(f"{key} = '{value}'\n" for key, value in values.items()) + asks)
    with pytest.raises(ConfigError, match=f"is not {face}'s role, it may not .*psephos schema queue.*--{face}"):
        run(tmp_path / "toml")  # type: ignore[operator]


def test_a_role_that_the_system_alone_names_is_named(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    given = queue.settings["egress"]
    url = make_url(given["database"])
    monkeypatch.setenv("PGUSER", str(url.username))
    engine = database.engine(url._replace(username=None).render_as_string(), Path(given["passfile"]), name="tests")
    with pytest.raises(ConfigError, match=f"{url.username} is not ingress's role"):
        check_role(Path("toml"), engine, "ingress", "INSERT")
    engine.dispose()
