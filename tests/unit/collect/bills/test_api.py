"""Addresses, waits and keys."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.bills import _api, _shelf
from fleetwatch.collect.bills._api import Api
from fleetwatch.collect.runner import Denied
from fleetwatch.records.bills import Bill, BillDay, BillRow, TokenDay
from support_bills import ADMIN_KEY, TODAY, Openai, serving
from support_http import self_signed

ASKED = [("start_time", "0"), ("end_time", "86400"), ("bucket_width", "1d"), ("limit", "1")]


def denied(why: str) -> Denied:
    return Denied("right", why, "Ask for it.")


def api(url: str) -> Api:
    return Api("bills.openai", url, lambda: {"Authorization": f"Bearer {ADMIN_KEY}"}, denied, Counter())


@pytest.mark.parametrize("url", ["http://api.openai.com", "http://10.0.0.1", "ftp://127.0.0.1", "api.openai.com", ""])
def test_a_key_is_sent_in_the_clear_to_this_machine_alone(url: str) -> None:
    with pytest.raises(ValueError, match=r"bills\.openai\.url: expected an address like https"):
        api(url)


@pytest.mark.parametrize("url", ["https://api.openai.com", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"])
def test_addresses_that_are_taken(url: str) -> None:
    api(url).close()


def test_the_key_of_a_netrc_does_not_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login root password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(Openai()) as books:
        asker = api(books.address)
        assert len(list(asker.pages("/v1/organization/costs", ASKED))) == 1
        assert books.asked[0].headers["authorization"] == f"Bearer {ADMIN_KEY}"
        assert books.asked[0].headers["user-agent"].startswith("fleetwatch/")
        asker.close()


def test_a_redirect_takes_the_key_nowhere() -> None:
    with serving(Openai()) as books, serving(Openai()) as elsewhere:
        books.odd = {0: (307, {"Location": f"{elsewhere.address}/v1/organization/costs"}, b"")}
        asker = api(books.address)
        with pytest.raises(_api.ApiError, match="expected status 200, got 307"):
            list(asker.pages("/v1/organization/costs", ASKED))
        assert elsewhere.asked == []
        asker.close()


def test_an_answer_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "LARGEST", 1 << 20)
    with serving(Openai()) as books:
        books.odd = {0: (200, {}, b" " * (2 << 20))}
        asker = api(books.address)
        with pytest.raises(_api.ApiError, match="expected at most 1 MiB, got more"):
            list(asker.pages("/v1/organization/costs", ASKED))
        asker.close()


def test_a_certificate_that_nobody_signed_is_not_believed(tmp_path: Path) -> None:
    server = Openai()
    tls = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert_file, tls.key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as books:
        asker = api(books.address.replace("http:", "https:"))
        with pytest.raises(_api.ApiError, match="GET /v1/organization/costs: its certificate is not believed"):
            list(asker.pages("/v1/organization/costs", ASKED))
        assert books.asked == []
        asker.close()


def test_a_provider_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        counted: Counter[tuple[str, str]] = Counter()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asker = Api("bills.openai", url, dict, denied, counted)
        with pytest.raises(_api.ApiError, match="no answer in time"):
            list(asker.pages("/v1/organization/costs", ASKED))
        assert counted == {("costs", "unreachable"): 1}
        asker.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch, chunked: bool) -> None:
    """Each byte comes well within the time for a piece, and all of them would take days."""
    monkeypatch.setattr(_api, "WHOLE", 0.3)
    head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000"
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head + b"\r\n\r\n")
            while not over.wait(0.02):
                try:
                    connection.sendall(b"1\r\n \r\n" if chunked else b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as slow:
        thread = threading.Thread(target=drip, args=(slow,), daemon=True)
        thread.start()
        asker = api(f"http://127.0.0.1:{slow.getsockname()[1]}")
        try:
            with pytest.raises(_api.ApiError, match=r"no whole answer in 0\.3 s"):
                list(asker.pages("/v1/organization/costs", ASKED))
        finally:
            over.set()
            thread.join(5)
            asker.close()


def test_an_answer_that_breaks_off_is_told() -> None:
    with serving(Openai()) as books:
        books.odd = {0: (200, {"Content-Length": "1000", "Connection": "close"}, b'{"data": [')}
        asker = api(books.address)
        with pytest.raises(_api.ApiError, match="GET /v1/organization/costs: cannot be reached"):
            list(asker.pages("/v1/organization/costs", ASKED))
        asker.close()


def test_what_is_compressed_is_read() -> None:
    with serving(Openai()) as books:
        books.odd = {0: (200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"data": [], "has_more": false}'))}
        asker = api(books.address)
        assert list(asker.pages("/v1/organization/costs", ASKED)) == [{"data": [], "has_more": False}]
        asker.close()


def test_a_proxy_of_the_environment_sees_no_key_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Openai()) as books, serving(Openai()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        asker = api(books.address)
        assert len(list(asker.pages("/v1/organization/costs", ASKED))) == 1
        assert (len(books.asked), proxy.asked) == (1, [])
        asker.close()


def test_an_answer_that_repeats_the_key_does_not_get_it_into_a_message() -> None:
    with serving(Openai()) as books:
        books.odd = {0: (200, {"Content-Type": f"x/{ADMIN_KEY} y"}, ADMIN_KEY.encode())}
        asker = api(books.address)
        with pytest.raises(_api.ApiError, match=r"got \d+ bytes of no type") as caught:
            list(asker.pages("/v1/organization/costs", ASKED))
        assert ADMIN_KEY not in f"{caught.value!r}"
        asker.close()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("30", 30), ("1.5", 1.5), ("999999999", 3600), ("", None), ("soon", None), ("-1", None)],
)
def test_waits_are_bounded(text: str, seconds: float | None) -> None:
    assert _api._wait(text) == seconds


def test_a_wait_may_be_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=600)
    waited = _api._wait(format_datetime(later, usegmt=True))
    assert waited is not None
    assert 590 < waited <= 600
    assert _api._wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0


ROWS = st.builds(BillRow, st.text(max_size=5), st.text(max_size=5), st.integers(-(10**18), 10**18))
DAYS = st.builds(
    BillDay,
    st.integers(TODAY - 90, TODAY),
    st.floats(0, 4e9),
    st.lists(ROWS, max_size=4).map(tuple),
    st.booleans(),
    st.none() | st.integers(-(10**18), 10**18),
)
TOKENS = st.builds(
    TokenDay,
    st.integers(TODAY - 90, TODAY),
    st.floats(0, 4e9),
    st.dictionaries(st.sampled_from(["input", "output"]), st.integers(0, 1 << 60)),
    st.integers(0, 1 << 60),
)


@given(st.lists(DAYS, max_size=5), st.lists(TOKENS, max_size=5), st.floats(0, 4e9))
def test_the_shelf_gives_back_what_was_put_on_it(
    tmp_path_factory: pytest.TempPathFactory, days: list[BillDay], tokens: list[TokenDay], read_at: float
) -> None:
    file = tmp_path_factory.getbasetemp() / "shelf" / "x.json"
    bill = Bill({day.day: day for day in days}, {day.day: day for day in tokens}, read_at)
    if not bill.days:  # days of tokens are kept as long as those of money
        bill = bill._replace(tokens={})
    _shelf.write(file, bill)
    assert _shelf.read(file) == bill
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"version": 2}', b'{"version": 1, "days": 3}', b"\xff\xfe", b"[" * 100_000],
)
def test_a_damaged_shelf_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert _shelf.read(tmp_path / "x.json") == Bill({}, {})


def test_old_days_leave_the_shelf(tmp_path: Path) -> None:
    days = {day: BillDay(day, 1.0, ()) for day in (TODAY - 200, TODAY - 100, TODAY - 99, TODAY)}
    _shelf.write(tmp_path / "x.json", Bill(days, {}))
    assert set(_shelf.read(tmp_path / "x.json").days) == {TODAY - 99, TODAY}
