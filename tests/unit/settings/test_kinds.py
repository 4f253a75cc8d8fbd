"""Each kind of value: what is taken, and that everything else is refused in words that begin with "expected"."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.settings import kinds

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
TYPES: dict[Callable[[Any], Any], type] = {
    kinds.text: str,
    kinds.whole: int,
    kinds.number: float,
    kinds.seconds: float,
    kinds.usd: Decimal,
    kinds.switch: bool,
    kinds.path: Path,
    kinds.day: datetime.date,
    kinds.address: str,
    kinds.zone: str,
    kinds.pattern: str,
}
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.text(alphabet="0123456789.:-_+eE smhd"),
    st.binary(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()),
    st.dates(),
    st.datetimes(),
)


@pytest.mark.parametrize("read", TYPES, ids=lambda read: read.__name__)
@given(value=ANYTHING)
def test_a_value_is_read_as_its_type_or_refused_with_what_was_expected(read: Callable[[Any], Any], value: Any) -> None:
    try:
        assert type(read(value)) in (TYPES[read], type(Path()) if read is kinds.path else TYPES[read])
    except ValueError as error:
        assert str(error).startswith("expected ")  # noqa: PT017 - most values are refused, some are not


@given(amount=st.integers(min_value=0, max_value=10**6), unit=st.sampled_from("smhd"))
def test_a_duration_is_the_time_that_its_unit_says(amount: int, unit: str) -> None:
    assert kinds.seconds(f"{amount}{unit}") == datetime.timedelta(**{UNITS[unit]: amount}).total_seconds()


@given(hundredths=st.integers(min_value=0, max_value=10**6), unit=st.sampled_from("smhd"))
def test_a_duration_may_have_a_fraction(hundredths: int, unit: str) -> None:
    expected = datetime.timedelta(**{UNITS[unit]: hundredths / 100}).total_seconds()
    assert kinds.seconds(f"{hundredths / 100:.2f}{unit}") == pytest.approx(expected, abs=1e-6)


@given(amount=st.one_of(st.integers(min_value=0, max_value=10**9), st.floats(min_value=0, max_value=1e9)))
def test_a_bare_number_is_seconds(amount: float) -> None:
    assert kinds.seconds(amount) == amount
    assert kinds.seconds(Decimal(str(amount))) == amount


@pytest.mark.parametrize("text", ["", "s", "1w", "-1s", "1 h", "1h30m", "1..5s", "²s", "٣", "1e3s", "inf", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 15s, 2m or 1h"):
        kinds.seconds(text)


@given(amount=st.decimals(min_value=0, max_value=10**15, places=12))
def test_money_stays_as_exact_as_it_is_written(amount: Decimal) -> None:
    assert kinds.usd(str(amount)) == kinds.usd(amount) == amount
    assert str(kinds.usd(str(amount))) == str(amount)


@pytest.mark.parametrize("value", [-1, "-0.01", "1k", "1,10", "NaN", "sNaN", "-inf", True, None, [1], "1e16", 10**400])
def test_what_is_no_money_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a number of US dollars"):
        kinds.usd(value)


@given(value=st.integers(min_value=-(2**62), max_value=2**62))
def test_a_whole_number_may_be_written_in_any_way(value: int) -> None:
    assert kinds.whole(value) == kinds.whole(str(value)) == kinds.whole(f"{value:_}") == kinds.whole(f"{value}.0")
    assert kinds.whole(Decimal(value)) == value


@pytest.mark.parametrize("value", [2**63, "9" * 25, 1.5, "1.5", "", "x", "0x1", True, Decimal("1e999"), "1e3"])
def test_what_is_no_whole_number_or_too_large_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected a (whole|finite) number"):
        kinds.whole(value)


@pytest.mark.parametrize("value", [True, 1, "1", "true", "TRUE", "Yes", "on", "t"])
def test_an_environment_s_words_turn_a_switch_on(value: object) -> None:
    assert kinds.switch(value) is True


@pytest.mark.parametrize("value", [False, 0, "0", "false", "No", "off"])
def test_an_environment_s_words_turn_a_switch_off(value: object) -> None:
    assert kinds.switch(value) is False


@pytest.mark.parametrize("value", [2, "", "maybe", None, 1.0])
def test_a_switch_takes_nothing_else(value: object) -> None:
    with pytest.raises(ValueError, match="expected true or false"):
        kinds.switch(value)


@given(host=st.from_regex(r"[a-z0-9.-]{1,20}|\[[0-9a-f:]{2,10}\]", fullmatch=True), port=st.integers(0, 99_999))
def test_an_address_has_a_host_and_a_port(host: str, port: int) -> None:
    if port <= 65535:
        assert kinds.address(f"{host}:{port}") == f"{host}:{port}"
    else:
        with pytest.raises(ValueError, match=re.escape("expected HOST:PORT")):
            kinds.address(f"{host}:{port}")


@pytest.mark.parametrize("text", ["Europe", "", "../../etc/hostname", "/etc/localtime", "Mars/Base", "\0", "x" * 9999])
def test_what_names_no_time_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time zone such as Europe/Berlin or UTC"):
        kinds.zone(text)


def test_a_pattern_that_is_none_says_why() -> None:
    with pytest.raises(ValueError, match=r"expected a regular expression: missing \)"):
        kinds.pattern("(a")


@given(day=st.dates())
def test_a_day_is_read_as_it_is_written(day: datetime.date) -> None:
    assert kinds.day(day.isoformat()) == kinds.day(day) == day
