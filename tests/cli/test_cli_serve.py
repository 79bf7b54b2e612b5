"""serve: LocalNovu as a process."""

import json
import signal
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click
import pytest
from cli_program import Run

from novu_async.cli._seed import read_seed
from novu_async.testing import LocalNovu


def _ready(process: Any) -> str:
    line: str = process.stdout.readline()
    assert line.startswith("ready: http://127.0.0.1:")
    return line.removeprefix("ready: ").strip()


def _get(url: str, path: str, key: str = "") -> tuple[Any, Any]:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", path, headers={"Authorization": f"ApiKey {key}"})
    with connection.getresponse() as reply:
        body, headers = json.load(reply), reply.headers
    connection.close()
    return body, headers


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_stopped(start: Callable[..., Any], run: Run, signum: int) -> None:
    """It says where it listens, stores what comes, and ends with 0 when it is asked to."""
    process = start("serve", "--port", "0", "--api-key", "made-up")
    url = _ready(process)
    variables = {"NOVU_API_KEY": "made-up", "NOVU_SERVER_URL": url}
    assert run("append", "u1", "fcm", "one", **variables).status == 0
    stored, _ = _get(url, "/__local/subscribers/u1")
    assert stored["channels"][0]["credentials"]["deviceTokens"] == ["one"]
    process.send_signal(signum)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_seed_and_limits(start: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    """--seed says who exists, --rate-limit how fast it goes; the key it made up is told."""
    spread = {"prefix": "sub-", "count": 2}
    seed = {"subscriber_range": spread, "integrations": [{"providerId": "fcm"}]}
    (tmp_path / "seed.json").write_text(json.dumps(seed))
    process = start("serve", "--port", "0", "--seed", "seed.json", "--rate-limit", "20")
    url = _ready(process)
    key = process.stderr.readline().split()[-1]
    variables = {"NOVU_API_KEY": key, "NOVU_SERVER_URL": url}
    assert run("append", "sub-1", "fcm", "one", **variables).status == 0
    assert run("append", "sub-2", "fcm", "one", **variables).status == 1
    assert run("append", "sub-1", "apns", "one", **variables).status == 1
    _, headers = _get(url, "/v2/subscribers/sub-1", key)
    assert headers["RateLimit-Limit"] == "100"


def test_what_a_seed_stands_for(tmp_path: Path) -> None:
    """Subscribers as ids and objects, a range of them, and integrations oldest first."""
    seed = {
        "subscribers": ["u1", {"subscriberId": "u2"}],
        "subscriber_range": {"prefix": "sub-", "count": 3},
        "integrations": [{"providerId": "fcm", "identifier": "main", "active": False}, "apns"],
    }
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(seed), "utf-8-sig")
    local = LocalNovu(**read_seed(str(path)))
    assert list(local.subscribers) == ["u1", "u2", "sub-0", "sub-1", "sub-2"]
    assert local.integrations[0]["active"] is False
    assert local.integrations[1]["providerId"] == "apns"
    path.write_text("{}")
    assert read_seed(str(path)) == {}


BAD_SEEDS: list[tuple[str, str]] = [
    ("{", "not JSON"),
    ("[]", "must be an object"),
    ('{"subscriber": []}', "unknown field 'subscriber'"),
    ('{"subscribers": "u1"}', "subscribers must be a list"),
    ('{"subscribers": ["u1", 5]}', r"subscribers\[1\] is not valid: 5"),
    ('{"subscribers": [{}]}', r"subscribers\[0\] is not valid"),
    ('{"integrations": [{"providerId": 5}]}', r"integrations\[0\] is not valid"),
    ('{"subscriber_range": {"prefix": "s"}}', "subscriber_range must have"),
    ('{"subscriber_range": 0}', "subscriber_range must have"),
]


@pytest.mark.parametrize(("content", "said"), BAD_SEEDS)
def test_bad_seeds_name_their_field(content: str, said: str, tmp_path: Path) -> None:
    """What is wrong with a seed is said in one line, with the name of the file."""
    path = tmp_path / "seed.json"
    path.write_text(content)
    with pytest.raises(click.ClickException, match=f"seed.json: {said}"):
        read_seed(str(path))


def test_eras_differ(start: Callable[..., Any], run: Run) -> None:
    """--era 2024 answers as the API did then; the error is told all the same."""
    url = _ready(start("serve", "--port", "0", "--api-key", "made-up", "--era", "2024"))
    variables = {"NOVU_API_KEY": "made-up", "NOVU_SERVER_URL": url}
    done = run("append", "u1", "fmc", "one", **variables)
    assert done.status == 1
    assert "do not have active fmc integration" in done.err


def test_port_that_is_taken(start: Callable[..., Any], run: Run) -> None:
    """A port that is taken is told in one line, with status 2."""
    port = _ready(start("serve", "--port", "0")).rpartition(":")[2]
    done = run("serve", "--port", port)
    assert (done.status, done.out) == (2, "")
    assert "choose another --host or --port" in done.err
