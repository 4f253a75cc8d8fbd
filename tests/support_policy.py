"""The policies of AWS that lie beside the code."""

from __future__ import annotations

import json

from fleetwatch.places import PROJECT

FOLDER = PROJECT / "exporters" / "deploy" / "aws"

NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
"""STS API reference, GetCallerIdentity: "No permissions are required to perform this operation"."""


def allowed(file: str) -> set[str]:
    policy = json.loads((FOLDER / file).read_text())
    assert policy["Version"] == "2012-10-17"
    assert all(item["Effect"] == "Allow" for item in policy["Statement"])
    return {action for item in policy["Statement"] for action in item["Action"]}
