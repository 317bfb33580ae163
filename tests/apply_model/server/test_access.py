"""Who may ask, and what every answer carries: the attacks that a page of this machine must stop."""

from typing import Any

import pytest

from ecgpipe.apply_model.server.access import Access, access_to, is_loopback

GOOD = "/secret/ecgs"


def access(*, any_address: bool = False) -> Access:
    return Access("secret", frozenset({"localhost", "node7"}), any_address)


def status(path: str = GOOD, host: str = "127.0.0.1:8750", origin: str | None = None) -> int:
    refusal = access().refusal(path, host, origin)
    return 200 if refusal is None else refusal[0]


@pytest.mark.parametrize(
    "path", ["/", "", "/secret", "/secre/x", "/secrets/x", "//secret/x", "/Secret/", "/é/x"]
)
def test_without_the_whole_token_nothing_is_answered(path: str) -> None:
    assert status(path) == 404


@pytest.mark.parametrize("host", ["127.0.0.1:8750", "localhost:9", "LocalHost", "[::1]:8750"])
def test_this_machine_is_asked_under_its_own_names_also_through_a_tunnel(host: str) -> None:
    assert status(host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8750",  # a name that was made to lead here
        "127.0.0.1.evil.example",
        "localhost.evil.example:8750",
        "localhost@evil.example",
        "localhost:8750\nevil.example",  # two headers
        "192.0.2.7:8750",
        "",
    ],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    assert status(host=host) == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:8751",
        "http://localhost:8750", "http://127.0.0.1:8750.evil.example", "file://",
    ],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    assert status(origin=origin) == 403


def test_our_own_page_and_a_program_that_is_no_browser_are_answered() -> None:
    assert status(origin="http://127.0.0.1:8750") == 200
    assert status(origin=None) == 200


def test_open_to_other_machines_an_address_in_digits_is_safe_and_a_foreign_name_is_not() -> None:
    opened = access(any_address=True)
    assert opened.refusal(GOOD, "192.0.2.7:8750", None) is None
    assert opened.refusal(GOOD, "node7:8750", None) is None
    assert opened.refusal(GOOD, "evil.example:8750", None) is not None


def test_only_the_loopback_is_taken_for_it() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.8.8.8")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "node7", "192.0.2.7", "localhost.evil")))


def test_each_start_has_a_token_that_nobody_guesses() -> None:
    tokens = {access_to("127.0.0.1").token for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 32 for token in tokens)  # 24 random bytes


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", "", {}, 200),
        ("GET", "page.js", {}, 200),
        ("GET", "page.css", {}, 200),
        ("GET", "about.json", {}, 200),
        ("GET", "nowhere", {}, 404),
        ("PUT", "ecgs", {}, 405),
        ("GET", "../about.json", {}, 404),
        ("GET", "", {"host": "evil.example"}, 421),
        ("POST", "ecgs", {"origin": "http://evil.example"}, 403),
    ],
)
def test_every_answer_carries_the_headers(
    served: Any, method: str, path: str, headers: dict[str, str], expected: int
) -> None:
    response = served.client.request(method, path, headers=headers)
    assert response.status_code == expected
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in response.headers
    assert "access-control-allow-origin" not in response.headers


def test_a_refusal_says_in_both_languages_what_to_do(served: Any) -> None:
    response = served.client.get("http://127.0.0.1:8750/other/about.json")
    assert response.status_code == 404
    assert "ecgpipe serve が表示したアドレス" in response.text
    assert "Open the whole address that ecgpipe serve printed." in response.text
