"""A client's settings: arguments, environment, and what cannot work."""

import ssl
from typing import Any

import pytest
from core_doubles import KEY, settings

import novu_sync
from novu_async import BackoffStrategy, ConfigurationError, Novu, RetryConfig
from novu_async._retry import DEFAULT_RETRIES

ENVIRONMENT = {
    "NOVU_API_KEY": "key-of-the-environment",
    "NOVU_SECRET_KEY": "other-key-of-the-environment",
    "NOVU_SERVER_URL": "http://environment:3000/prefix/",
}


@pytest.mark.parametrize(
    ("arguments", "environ", "key"),
    [
        ({"api_key": KEY}, ENVIRONMENT, KEY),
        ({"api_key": f"ApiKey {KEY}"}, {}, KEY),
        ({"api_key": None}, ENVIRONMENT, "key-of-the-environment"),
        ({"api_key": ""}, ENVIRONMENT, "key-of-the-environment"),
        ({"api_key": None}, {"NOVU_SECRET_KEY": "s"}, "s"),
        ({"api_key": None}, {"NOVU_API_KEY": "", "NOVU_SECRET_KEY": "s"}, "s"),
        ({"api_key": None}, {"NOVU_API_KEY": "ApiKey k"}, "k"),
    ],
)
def test_where_the_key_comes_from(arguments: Any, environ: Any, key: str) -> None:
    """An argument wins over NOVU_API_KEY, and that over NOVU_SECRET_KEY; empty is not given."""
    assert settings(**arguments, environ=environ).api_key == key


@pytest.mark.parametrize(
    ("arguments", "environ", "url"),
    [
        ({}, {}, "https://api.novu.co"),
        ({"server": "us"}, {}, "https://api.novu.co"),
        ({"server": "eu"}, {}, "https://eu.api.novu.co"),
        ({"server": "eu"}, ENVIRONMENT, "https://eu.api.novu.co"),
        ({}, ENVIRONMENT, "http://environment:3000/prefix"),
        ({"server_url": ""}, ENVIRONMENT, "http://environment:3000/prefix"),
        ({"server_url": "http://h"}, ENVIRONMENT, "http://h"),
        ({"server_url": "https://h/a/b//"}, {}, "https://h/a/b"),
        ({"server_url": "http://[::1]:3000"}, {}, "http://[::1]:3000"),
        ({"server_url": "http://[::1]:080/a"}, {}, "http://[::1]/a"),
        ({"server_url": "http://H"}, {}, "http://h"),
        ({"server_url": "http://h:"}, {}, "http://h"),
        ({"server_url": "http://h:80"}, {}, "http://h"),
        ({"server_url": "http://h:080/"}, {}, "http://h"),
        ({"server_url": "http://h:03000"}, {}, "http://h:3000"),
        ({"server_url": "http://h:443"}, {}, "http://h:443"),
        ({"server_url": "https://h:443"}, {}, "https://h"),
        ({"server_url": "HTTPS://h:0443/"}, {}, "https://h"),
        ({"server_url": "https://h:80"}, {}, "https://h:80"),
        ({"server_url": "https://Straße.example/a"}, {}, "https://xn--strae-oqa.example/a"),
        ({"server_url": "http://127.0.0.1:3000"}, {}, "http://127.0.0.1:3000"),
        ({"server_url": "http://novu_api.local.:3000"}, {}, "http://novu_api.local.:3000"),
        ({}, {"NOVU_SERVER_URL": ""}, "https://api.novu.co"),
    ],
)
def test_where_the_server_is(arguments: Any, environ: Any, url: str) -> None:
    """An argument wins over the environment, a prefix is kept, a last slash is not.

    One server has one form, so that all its calls share one line and one rate limit.
    """
    assert settings(**arguments, environ=environ).server_url == url


@pytest.mark.parametrize(
    "key",
    [None, "", b"bytes", 7, "ApiKey ", "a b", "key\n", " key", "k\x00", "clé", "k\u200b", True],
)
def test_a_key_that_cannot_be_one(key: Any) -> None:
    """What cannot be sent as a key is refused at once, and not shown."""
    with pytest.raises(ConfigurationError, match="API key") as caught:
        settings(api_key=key)
    assert repr(key) not in str(caught.value)


def test_no_key_anywhere_says_how_to_give_one() -> None:
    """The message names the argument and both variables."""
    with pytest.raises(ConfigurationError, match=r"api_key=.*NOVU_API_KEY.*NOVU_SECRET_KEY"):
        settings(api_key=None)


BAD_URLS = [
    "api.novu.co", "ftp://h", "http://", "http:///v1", "//h", "http://h?x=1", "http://h/?",
    "http://h/#", "http://h/#f", "http://user:pass@h", "http://user@h", "http://:pass@h",
    "http://@h", "http://h:99999", "http://h:x", "http://a b", " http://h", "http://h ",
    "http://h/a b", "http://h\n", "http://h\\@evil", "http://h/é", "http://[::1", "javascript:1",
    "http://127.1", "http://2130706433", "http://300.1.1.1", "http://127.0.0.1.", "http://a..b",
    "http://.a", f"http://{'a' * 64}.de", "http://a*b", "http://a%2Fb", "http://a\u2028b", "http://[a]",
    "http://é..b", b"http://h", 7,
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS, ids=repr)
def test_a_server_url_that_would_lead_elsewhere(url: Any) -> None:
    """A URL that paths cannot be appended to is refused, without showing its password."""
    with pytest.raises(ConfigurationError, match="server_url must look like") as caught:
        settings(server_url=url)
    assert "pass" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="server_url must look like"):
        settings(environ={"NOVU_SERVER_URL": url})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server": "asia"}, "'us' or 'eu'"),
        ({"server": "US"}, "'us' or 'eu'"),
        ({"server": ["us"]}, "'us' or 'eu'"),
        ({"server": "eu", "server_url": "http://h"}, "only one of server_url, server"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": -1}, "timeout must be"),
        ({"timeout": "5"}, "timeout must be"),
        ({"timeout": None}, "timeout must be"),
        ({"timeout": True}, "timeout must be"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"timeout": float("inf")}, "timeout must be"),
        ({"timeout": 10**400}, "above zero, not one of hundreds of digits"),
        ({"timeout_ms": 10**5000}, "timeout_ms must be"),
        ({"confirm_after": 10**400}, "confirm_after must be"),
        ({"max_connections": 0}, "max_connections must be a whole number"),
        ({"max_connections": 0.5}, "max_connections must be a whole number"),
        ({"max_reply_bytes": 0.5}, "max_reply_bytes must be a whole number"),
        ({"max_reply_bytes": -1}, "max_reply_bytes must be a whole number"),
        ({"share": 0}, "share must be"),
        ({"headers": {"X-A": "a\nb"}}, "header X-A must be one line"),
        ({"headers": {"X-A": 5}}, "header X-A must be a text"),
        ({"headers": {"X A": "a"}}, "header name"),
        ({"headers": {"": "a"}}, "header name"),
        ({"headers": {5: "a"}}, "header name"),
        ({"headers": [("X-A", "a")]}, "headers must be a dict"),
        ({"headers": {"authorization": "x"}}, "made by the client itself"),
        ({"headers": {"Host": "x"}}, "made by the client itself"),
        ({"headers": {"Content-Length": "0"}}, "made by the client itself"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "made by the client itself"),
        ({"retries": "none"}, "retries must be a RetryConfig"),
        ({"retries": 3}, "retries must be a RetryConfig"),
    ],
)
def test_an_argument_that_cannot_work(arguments: Any, message: str) -> None:
    """A client that could not work is not made; the message names the argument."""
    with pytest.raises(ConfigurationError, match=message):
        settings(**arguments)


def test_what_is_used_where_nothing_is_said() -> None:
    """The defaults are those that the documentation names."""
    made = settings()
    assert (made.timeout, made.max_connections, made.share) == (30.0, 100, 1.0)
    assert made.retries is DEFAULT_RETRIES
    assert isinstance(made.retries, RetryConfig)
    assert settings(retries=None).retries is None


PROXIES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]


@pytest.mark.parametrize(
    ("environ", "arguments", "proxy"),
    [
        ({"http_proxy": "http://p:1"}, {"trust_env": True}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, {"trust_env": True}, "http://p:1"),
        ({"all_proxy": "http://p:2"}, {"trust_env": True}, "http://p:2"),
        ({"https_proxy": "http://p:1"}, {"trust_env": True}, None),
        ({"http_proxy": "http://p:1"}, {}, None),
        ({"http_proxy": "p:1"}, {"trust_env": True}, "http://p:1"),
        ({"http_proxy": "http://p:1"}, {"trust_env": True, "proxy": "http://q:1"}, "http://q:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "api.local"}, {"trust_env": True}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "api.local:3000"}, {"trust_env": True}, None),
        (
            {"http_proxy": "http://p:1", "no_proxy": "api.local:1"},
            {"trust_env": True},
            "http://p:1",
        ),
        ({"http_proxy": "http://p:1", "no_proxy": "other"}, {"trust_env": True}, "http://p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, {"trust_env": True}, None),
        ({"http_proxy": "http://p:1"}, {"proxy": ""}, None),
        ({}, {"trust_env": True}, None),
    ],
)
def test_a_proxy_from_the_environment(
    environ: dict[str, str], arguments: Any, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `trust_env` the usual variables count, NO_PROXY too; an argument wins."""
    for name in (*PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert settings(server_url="http://api.local:3000", **arguments).proxy == proxy


def test_a_proxy_of_the_environment_that_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where it comes from: no argument of the caller is wrong."""
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "")
    monkeypatch.setenv("all_proxy", "socks5://me:hidden-3@p:1")
    with pytest.raises(ConfigurationError, match="from ALL_PROXY in the environment") as caught:
        settings(server_url="http://api.local", trust_env=True)
    assert "hidden" not in str(caught.value)


def test_no_secret_is_shown() -> None:
    """The repr of the settings holds neither the key nor headers nor the proxy's password."""
    shown = repr(settings(api_key=KEY, headers={"X-A": "hidden-1"}, proxy="http://u:hidden-2@p"))
    assert KEY not in shown
    assert "hidden" not in shown


def test_the_other_name_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`secret_key` is `api_key`, and the environment is read when a client is made."""
    monkeypatch.setenv("NOVU_API_KEY", "k1")
    monkeypatch.setenv("NOVU_SERVER_URL", "http://h/pre")
    assert Novu(secret_key="k2")._pipeline.settings.api_key == "k2"
    assert Novu("k2", secret_key="k2")._pipeline.settings.api_key == "k2"
    with pytest.raises(ConfigurationError, match="not two different keys"):
        Novu("k3", secret_key="k2")
    assert Novu()._pipeline.settings.api_key == "k1"
    assert repr(Novu()) == "<Novu http://h/pre>"


def test_the_names_of_the_official_sdk() -> None:
    """Each of its arguments that has another name here is taken under that name as well."""
    once = RetryConfig("backoff", BackoffStrategy(1, 50, 1.1, 100), False)
    novu = Novu(secret_key="k", server_idx=1, timeout_ms=2_500, retry_config=once)
    made = novu._pipeline.settings
    assert (made.api_key, made.server_url) == ("k", "https://eu.api.novu.co")
    assert (made.timeout, made.retries) == (2.5, once)
    assert settings(server_idx=0).server_url == "https://api.novu.co"
    assert settings(retry_config=None).retries is None
    blocking = novu_sync.Novu(secret_key="k", server_idx=1, timeout_ms=2_500, retry_config=once)
    assert repr(blocking) == "<Novu https://eu.api.novu.co>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server_idx": 2}, "server_idx must be 0"),
        ({"server_idx": -1}, "server_idx must be 0"),
        ({"server_idx": True}, "server_idx must be 0"),
        ({"server_idx": "0"}, "server_idx must be 0"),
        ({"server_idx": 0.0}, "server_idx must be 0"),
        ({"server_idx": 0, "server": "us"}, "takes no server beside"),
        ({"server_idx": 0, "server_url": "http://h"}, "one of server_url, server and server_idx"),
        ({"timeout_ms": 0}, "timeout_ms must be"),
        ({"timeout_ms": "5"}, "timeout_ms must be"),
        ({"retry_config": 3}, "must be a RetryConfig"),
    ],
)
def test_a_wrong_argument_under_the_official_sdks_name(arguments: Any, message: str) -> None:
    """It is refused under that name."""
    with pytest.raises(ConfigurationError, match=message):
        settings(**arguments)


@pytest.mark.parametrize("name", ["api_key", "secret_key"])
def test_a_key_may_come_from_a_function(name: str) -> None:
    """It is called once, when the client is made; what it returns is checked like a key."""
    calls: list[None] = []
    novu = Novu(**{name: lambda: calls.append(None) or KEY})  # type: ignore[arg-type]
    assert novu._pipeline.settings.api_key == KEY
    assert calls == [None]
    with pytest.raises(ConfigurationError, match="no API key"):
        settings(api_key=lambda: None)
    with pytest.raises(ConfigurationError, match="a function that returns one, not bytes"):
        settings(api_key=lambda: b"bytes")


@pytest.mark.parametrize("key", [b"bytes", 7, ["k"], True])
def test_a_key_that_is_no_text_is_called_that(key: Any) -> None:
    """The message names the type, and speaks of no space in it."""
    with pytest.raises(ConfigurationError, match=f"must be a text.*not {type(key).__name__}$"):
        settings(api_key=key)


@pytest.mark.parametrize(
    "arguments",
    [
        {"observer": object()},
        {"session": 5},
        {"proxy": "http://[bad"},
        {"proxy": "127.0.0.1:3128"},
        {"proxy": "socks5://p:1"},
        {"proxy": "http://me:%E2%82%AC@p:1"},
        {"proxy": "http://m%3Ae:x@p:1"},
        {"proxy": 5},
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_when_the_client_is_made(arguments: Any) -> None:
    """Not by its first call."""
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        settings(**arguments)


def test_a_context_for_tls_is_taken() -> None:
    """An SSLContext, or False, is passed on as it is."""
    context = ssl.create_default_context()
    assert settings(ssl=context).ssl is context
    assert settings(ssl=False).ssl is False
