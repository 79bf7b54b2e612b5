"""update, append, delete, show and the token verbs, against a LocalNovu."""

import json
from pathlib import Path

import pytest
from cli_program import Run

from novu_async.testing import LocalNovu

SECRET = "device-token-that-nobody-may-see"
URL = "https://hooks.example.com/services/secret-part"


def test_append_reads_tokens_from_standard_input(run: Run, server: LocalNovu) -> None:
    """Tokens on standard input, one a line, are added and shown as fingerprints."""
    done = run("append", "user-42", "fcm", "-", stdin=f"{SECRET}\n\nsecond-token\n")
    assert done.status == 0
    assert server.device_tokens("user-42", "fcm") == [SECRET, "second-token"]
    assert "2 device tokens" in done.out
    assert SECRET not in done.out + done.err


def test_append_reads_tokens_from_a_file(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """--tokens-file adds to what the arguments give; a byte order mark is no part of a token."""
    (tmp_path / "list.txt").write_text(f"\ufeff{SECRET}\r\n")
    assert run("append", "u1", "fcm", "one", "--tokens-file", "list.txt").status == 0
    assert server.device_tokens("u1", "fcm") == ["one", SECRET]


def test_update_replaces_the_tokens(run: Run, server: LocalNovu) -> None:
    """update leaves the given tokens only."""
    run("append", "u1", "fcm", "old")
    assert run("update", "u1", "fcm", "new").status == 0
    assert server.device_tokens("u1", "fcm") == ["new"]


def test_update_sets_a_webhook_url(run: Run, server: LocalNovu) -> None:
    """A webhook URL can be read from standard input, and is never printed."""
    done = run("update", "u1", "mattermost", "--webhook-url", "-", "--channel", "ops", stdin=URL)
    credentials = server.subscribers["u1"]["channels"][0]["credentials"]
    assert credentials["webhookUrl"] == URL
    assert credentials["channel"] == "ops"
    assert "secret-part" not in done.out + done.err


def test_integration_identifier_is_sent(run: Run, server: LocalNovu) -> None:
    """--integration-identifier chooses among several integrations of a provider."""
    server.add_integration("fcm", "fcm-second")
    run("append", "u1", "fcm", "one", "--integration-identifier", "fcm")
    assert server.device_tokens("u1", "fcm", "fcm") == ["one"]


def test_delete_removes_a_provider(run: Run, server: LocalNovu) -> None:
    """delete removes the channels of the provider and says so."""
    run("append", "u1", "fcm", "one")
    done = run("delete", "u1", "fcm")
    assert (done.status, done.out) == (0, "u1 has no fcm channel any more\n")
    assert server.subscribers["u1"]["channels"] == []


def test_show_hides_tokens_unless_asked(run: Run) -> None:
    """show prints fingerprints; --reveal prints the tokens."""
    run("append", "u1", "fcm", SECRET)
    assert SECRET not in run("show", "u1").out
    assert SECRET not in run("show", "u1", "--json").out
    assert SECRET in run("show", "u1", "--reveal").out
    shown = json.loads(run("show", "u1", "--reveal", "--json").out)
    assert shown["channels"][0]["device_tokens"] == [SECRET]


def test_show_of_nothing(run: Run) -> None:
    """A subscriber without channels is no error."""
    done = run("show", "u1")
    assert (done.status, done.out) == (0, "u1 has no channels\n")


def test_show_passes_over_what_is_no_channel(run: Run, server: LocalNovu) -> None:
    """Bulk writes of the API store channels as they come."""
    odd = ("odd", None, {"deviceTokens": 7})
    channels = [{"providerId": "apns", "credentials": one} for one in odd]
    server.add_subscriber("u1", channels=channels)
    done = run("append", "u1", "fcm", "one")
    assert (done.status, done.err) == (0, "")
    assert run("show", "u1").out.splitlines()[-1] == done.out.strip()
    assert len(json.loads(run("show", "u1", "--json").out)["channels"]) == 3


@pytest.mark.parametrize(
    ("verb", "given", "stored"),
    [
        ("add", ["c"], ["a", "b", "c"]),
        ("replace", ["c"], ["c"]),
        ("remove", ["a"], ["b"]),
        ("clear", [], []),
        ("list", [], ["a", "b"]),
    ],
)
def test_token_verbs(
    run: Run, server: LocalNovu, verb: str, given: list[str], stored: list[str]
) -> None:
    """Each verb does what it says to the tokens of one channel."""
    run("append", "u1", "fcm", "a", "b")
    done = run("tokens", verb, "u1", "fcm", *given, "--json")
    assert done.status == 0
    assert server.device_tokens("u1", "fcm") == stored
    assert len(json.loads(done.out)["device_tokens"]) == len(stored)


def test_tokens_repair_merges_duplicate_channels(run: Run, server: LocalNovu) -> None:
    """Those that a race left are one afterwards, with the tokens of both."""
    channels = [{"providerId": "fcm", "credentials": {"deviceTokens": [one]}} for one in "ab"]
    server.add_subscriber("u1", channels=channels)
    done = run("tokens", "repair", "u1", "fcm")
    assert "repaired: fcm of u1 holds 2 device tokens" in done.out
    assert len(server.subscribers["u1"]["channels"]) == 1


def test_tokens_add_creates_the_subscriber(run: Run) -> None:
    """--on-missing create makes an unknown subscriber; without it the call is refused."""
    with LocalNovu.in_thread(subscribers=[]) as strict:
        where = ("tokens", "add", "new", "fcm", "one", "--server-url", strict.url)
        refused = run(*where)
        assert refused.status == 1
        assert "create the subscriber first" in refused.err
        assert "--on-missing create" in refused.err
        assert "create" not in run("show", "new", "--server-url", strict.url).err
        assert run(*where, "--on-missing", "create").status == 0
        assert strict.device_tokens("new", "fcm") == ["one"]


def test_acknowledged_but_not_stored_is_told(run: Run, server: LocalNovu) -> None:
    """A token that the answer lacks makes the status 1, whatever the API acknowledged."""
    server.faults.next("overwritten")
    done = run("append", "u1", "fcm", "one")
    assert done.status == 1
    assert "1 device token acknowledged but not stored" in done.err


def test_key_comes_from_a_file(run: Run, server: LocalNovu, tmp_path: Path) -> None:
    """--api-key-file wins over the environment, and its line break is no part of the key."""
    (tmp_path / "key").write_text(server.api_key + "\n")
    assert run("show", "u1", "--api-key-file", "key", NOVU_API_KEY="wrong").status == 0
