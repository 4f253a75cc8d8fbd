"""AWS' price list of EC2: how it is asked for a region and a product, and what its answers say.

Filters as Karpenter and others use them: without one of them the list has the same machine up to ten times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fleetwatch.aws.calls import Trouble
from fleetwatch.aws.session import Call
from fleetwatch.collect.spot._ask import pages
from fleetwatch.collect.spot._usd import nano_usd

OPERATION = "GetProducts"
SERVICE = "AmazonEC2"
PAGES = 60
"""Of ROWS each; a region has some 1,400 types."""
ROWS = 100
HOURS = "Hrs"


class _Sold(NamedTuple):
    """How the price list calls a product of EC2."""

    system: str
    software: str = "NA"
    license: str = "No License required"


# EC2's PlatformDetails -> the price list. "AMI billing information fields" in the EC2 user guide has the names.
PRODUCTS: Mapping[str, _Sold] = {
    "Linux/UNIX": _Sold("Linux"),
    "Linux with SQL Server Enterprise": _Sold("Linux", "SQL Ent"),
    "Linux with SQL Server Standard": _Sold("Linux", "SQL Std"),
    "Linux with SQL Server Web": _Sold("Linux", "SQL Web"),
    "Red Hat Enterprise Linux": _Sold("RHEL"),
    "Red Hat Enterprise Linux with HA": _Sold("Red Hat Enterprise Linux with HA"),
    "SUSE Linux": _Sold("SUSE"),
    "Ubuntu Pro": _Sold("Ubuntu Pro"),
    "Windows": _Sold("Windows"),
    "Windows BYOL": _Sold("Windows", license="Bring your own license"),
    "Windows with SQL Server Enterprise": _Sold("Windows", "SQL Ent"),
    "Windows with SQL Server Standard": _Sold("Windows", "SQL Std"),
    "Windows with SQL Server Web": _Sold("Windows", "SQL Web"),
}

# Bare metal is sold as dedicated machines only.
_FORMS = (
    {"tenancy": "Shared", "productFamily": "Compute Instance"},
    {"tenancy": "Dedicated", "productFamily": "Compute Instance (bare metal)"},
)


class Offers(NamedTuple):
    """Instance type -> nano-USD per hour, and what could not be read."""

    prices: dict[str, int]
    wrong: list[str]


def ask(call: Call, region: str, product: str) -> Offers:
    """The list prices of all types of a region, of one of PRODUCTS. Raises Trouble."""
    sold = PRODUCTS[product]
    found: dict[str, set[int]] = {}
    wrong: list[str] = []
    for form in _FORMS:
        filters = {
            "regionCode": region,
            "serviceCode": SERVICE,
            "operatingSystem": sold.system,
            "preInstalledSw": sold.software,
            "capacitystatus": "Used",
            "marketoption": "OnDemand",
            **form,
        }
        parameters = {
            "ServiceCode": SERVICE,
            "Filters": [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in filters.items()],
            "MaxResults": ROWS,
        }
        for page in pages(call, OPERATION, parameters, PAGES):
            _read(page.get("PriceList") or (), sold, found, wrong)
    for kind, prices in found.items():
        if len(prices) > 1:
            wrong.append(f"{kind}: expected one price, got {len(prices)}")
    if not found and not wrong:
        # Every region has machines for hire: what says otherwise is not believed for a day.
        raise Trouble("error", f"pricing:{OPERATION} of {region} ({product}): expected prices, got none", "")
    return Offers({kind: prices.pop() for kind, prices in found.items() if len(prices) == 1}, wrong)


def _read(texts: Iterable[str], sold: _Sold, found: dict[str, set[int]], wrong: list[str]) -> None:
    for text in texts:
        kind = "?"
        try:
            product = json.loads(text)
            attributes = product["product"]["attributes"]
            kind = attributes["instanceType"]
            # Windows is listed a second time for those who bring its licence, at another price.
            if attributes.get("licenseModel", sold.license) != sold.license:
                continue
            prices = set(_prices(product["terms"].get("OnDemand") or {}))
        except (ValueError, RecursionError) as error:
            wrong.append(f"{kind}: {error}")
        except (LookupError, TypeError, AttributeError) as error:
            wrong.append(f"{kind}: expected product.attributes.instanceType and terms, got {text!r:.40} ({error!r})")
        else:
            if prices:
                found.setdefault(str(kind), set()).update(prices)


def _prices(terms: Mapping[str, Any]) -> Iterator[int]:
    """Prices by the hour, in nano-USD; those of 0 are of what is paid elsewhere. Raises ValueError."""
    for term in terms.values():
        for rate in term["priceDimensions"].values():
            if rate.get("unit") != HOURS:
                continue
            given = rate["pricePerUnit"]
            if "USD" not in given:
                raise ValueError(f"pricePerUnit: expected USD, got {', '.join(map(str, given)) or 'nothing'}")
            price = nano_usd(given["USD"], "0.0816000000")
            if price:
                yield price
