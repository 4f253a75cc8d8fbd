"""AWS' price list of EC2 in its own words, and what a source keeps of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.aws.calls import Trouble
from fleetwatch.collect.spot import _kept, _offers

LISTED = 81_600_000
"""m7g.large in us-east-1, nano-USD."""


def product(kind: object = "m7g.large", usd: object = "0.0816000000", **more: Any) -> str:
    attributes = {"instanceType": kind, "licenseModel": "No License required", **more}
    rate = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
    terms = {"OnDemand": {"T": {"priceDimensions": {"R": rate}}}}
    return json.dumps({"product": {"attributes": attributes}, "terms": terms})


def answered(*texts: str, name: str = "Linux/UNIX") -> _offers.Offers:
    """The products on the first of two lists."""
    pages: Iterator[dict[str, Any]] = iter([{"PriceList": list(texts)}, {"PriceList": []}])

    def call(_operation: str, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        return next(pages)

    return _offers.ask(call, "us-east-1", name)


def test_windows_with_its_licence_is_not_windows_without() -> None:
    texts = [product(usd="0.2"), product(usd="0.1", licenseModel="Bring your own license")]
    assert answered(*texts, name="Windows").prices == {"m7g.large": 200_000_000}
    assert answered(*texts, name="Windows BYOL").prices == {"m7g.large": 100_000_000}


def test_two_prices_of_a_type_are_none() -> None:
    offers = answered(product(usd="0.1"), product(usd="0.2"), product("c7g.large"), product("c7g.large"))
    assert offers.prices == {"c7g.large": LISTED}
    assert offers.wrong == ["m7g.large: expected one price, got 2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "?: "),
        ("[]", "?: expected product.attributes.instanceType"),
        ('{"product": {"attributes": {}}}', "?: expected product.attributes.instanceType"),
        (product(usd="free"), "m7g.large: expected US dollars"),
        (product(usd=None), "m7g.large: expected US dollars"),
        (product(usd="1").replace('"USD"', '"CNY"'), "m7g.large: pricePerUnit: expected USD, got CNY"),
    ],
)
def test_a_product_that_cannot_be_read_is_said_and_the_others_count(text: str, message: str) -> None:
    offers = answered(text, product("c7g.large"))
    assert offers.prices == {"c7g.large": LISTED}
    assert len(offers.wrong) == 1
    assert offers.wrong[0].startswith(message)


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "product",
                        "attributes",
                        "instanceType",
                        "terms",
                        "OnDemand",
                        "priceDimensions",
                        "unit",
                        "pricePerUnit",
                        "USD",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_no_answer_breaks_the_others(found: Any) -> None:
    assert answered(json.dumps(found), product("c7g.large")).prices["c7g.large"] == LISTED


def test_a_region_without_prices_is_not_believed() -> None:
    with pytest.raises(Trouble, match=r"us-east-1 \(Linux/UNIX\): expected prices, got none"):
        answered()


def test_a_list_without_an_end_is_an_error() -> None:
    tokens = iter(range(1000))

    def call(_operation: str, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {"PriceList": [], "NextToken": str(next(tokens))}

    with pytest.raises(Trouble, match="expected at most 60 pages"):
        _offers.ask(call, "us-east-1", "Linux/UNIX")


# What is kept


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_kept_is_whole_or_not_there(tmp_path: Path, version: int) -> None:
    file = tmp_path / "new" / "kept.json"
    assert _kept.load(file, 1) is None
    assert _kept.save(file, {"a": [1]}, version) is None
    assert _kept.load(file, version) == {"version": version, "a": [1]}
    assert _kept.load(file, 3) is None
    assert file.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in file.parent.iterdir()] == ["kept.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept.json"
    _kept.save(file, {"a": 1}, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    trouble = _kept.save(file, {"a": 2}, 1)
    assert trouble is not None
    assert "No space left" in trouble.why
    assert _kept.load(file, 1) == {"version": 1, "a": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["kept.json"]
