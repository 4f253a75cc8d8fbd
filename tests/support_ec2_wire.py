"""AWS's wire shapes, by the service models that ship with its SDK: what was asked is read, what is answered written.

Protocols: ec2 and query (XML), json. https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html and its
neighbours; error shapes by the same pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

REQUEST_ID = "59dbff89-35bd-4eac-99ed-be587EXAMPLE"


class Reply(NamedTuple):
    status: int
    kind: str
    body: bytes


class Refused(Exception):  # noqa: N818 - an answer of AWS, no fault of the test
    """An error that AWS answers with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message


@cache
def model(service: str) -> ServiceModel:
    return botocore.session.Session().get_service_model(service)


def protocol(service: str) -> str:
    """As requests come: of services that know several, the SDK of this version takes JSON."""
    found = str(model(service).metadata["protocol"])
    return found if found in {"ec2", "query"} else "json"


def operation_of(service: str, body: bytes, headers: Mapping[str, str]) -> str:
    if protocol(service) == "json":
        return headers["X-Amz-Target"].rpartition(".")[2]
    return dict(parse_qsl(body.decode(), keep_blank_values=True))["Action"]


def asked_of(operation: OperationModel, body: bytes) -> dict[str, Any]:
    """The request's parameters, as they were given to the SDK."""
    if protocol(operation.service_model.service_name) == "json":
        found = json.loads(body or b"{}")
        return {name: _json_read(operation.input_shape, name, value) for name, value in found.items()}
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(body.decode(), keep_blank_values=True):
        *path, last = key.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return _read(operation.input_shape, tree) if operation.input_shape else {}


def _json_read(shape: Any, name: str, value: Any) -> Any:
    if shape.members[name].type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC)
    return value


def _read(shape: Any, found: Any) -> Any:
    if isinstance(shape, StructureShape):
        names = {member: _query_name(member, its) for member, its in shape.members.items()}
        return {member: _read(shape.members[member], found[name]) for member, name in names.items() if name in found}
    if isinstance(shape, ListShape):
        items = found.get("member", found)
        return [_read(shape.member, items[number]) for number in sorted(items, key=int)]
    if shape.type_name in {"integer", "long"}:
        return int(found)
    if shape.type_name == "boolean":
        return found == "true"
    return parse_timestamp(found) if shape.type_name == "timestamp" else found


def _query_name(member: str, shape: Shape) -> str:
    named = shape.serialization.get("queryName")
    if named:
        return str(named)
    name = str(shape.serialization.get("name", member))
    return name[:1].upper() + name[1:]


def written(operation: OperationModel, answer: dict[str, Any]) -> Reply:
    """The answer on the wire. Raises AssertionError for one that AWS's model does not know."""
    shape = operation.output_shape
    assert isinstance(shape, StructureShape)
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), f"{operation.name}: {report.generate_report()}"
    service = operation.service_model
    if protocol(service.service_name) == "json":
        body = json.dumps(answer, default=lambda time: time.timestamp())
        return Reply(200, f"application/x-amz-json-{service.metadata['jsonVersion']}", body.encode())
    inner = "".join(_xml_members(shape, answer))
    if protocol(service.service_name) == "ec2":
        inner = f"<requestId>{REQUEST_ID}</requestId>{inner}"
    else:
        inner = (
            f"<{operation.name}Result>{inner}</{operation.name}Result>"
            f"<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>"
        )
    name, space = f"{operation.name}Response", service.metadata["xmlNamespace"]
    return Reply(200, "text/xml;charset=UTF-8", f'<{name} xmlns="{space}">{inner}</{name}>'.encode())


def _xml_members(shape: StructureShape, answer: Mapping[str, Any]) -> list[str]:
    made = []
    for member, value in answer.items():
        its = shape.members[member]
        made.append(_xml(str(its.serialization.get("name", member)), its, value))
    return made


def _xml(name: str, shape: Any, value: Any) -> str:
    if isinstance(shape, StructureShape):
        inner = "".join(_xml_members(shape, value))
    elif isinstance(shape, ListShape):
        item = str(shape.member.serialization.get("name", "member"))
        inner = "".join(_xml(item, shape.member, each) for each in value)
    elif shape.type_name == "timestamp":
        inner = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    elif shape.type_name == "boolean":
        inner = "true" if value else "false"
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


def refusal(service: str, error: Refused) -> Reply:
    code, message = error.code, escape(error.message)
    if protocol(service) == "json":
        text = json.dumps({"__type": code, "message": error.message})
        return Reply(error.status, "application/x-amz-json-1.1", text.encode())
    one = f"<Code>{code}</Code><Message>{message}</Message>"
    if protocol(service) == "ec2":
        text = f"<Response><Errors><Error>{one}</Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
    else:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type>{one}</Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        )
    return Reply(error.status, "text/xml;charset=UTF-8", text.encode())


_SAID: Mapping[str, Mapping[str, tuple[int, str, str]]] = {
    "throttled": {
        "ec2": (503, "RequestLimitExceeded", "Request limit exceeded."),
        "query": (400, "Throttling", "Rate exceeded"),
        "json": (400, "ThrottlingException", "Rate exceeded"),
    },
    "expired": {
        "ec2": (400, "RequestExpired", "Request has expired."),
        "query": (403, "ExpiredToken", "The security token included in the request is expired"),
        "json": (400, "ExpiredTokenException", "The security token included in the request is expired"),
    },
    "off": {
        "ec2": (401, "AuthFailure", "AWS was not able to validate the provided access credentials"),
        "query": (403, "InvalidClientTokenId", "The security token included in the request is invalid"),
        "json": (400, "UnrecognizedClientException", "The security token included in the request is invalid."),
    },
    "error": {
        "ec2": (500, "InternalError", "An internal error has occurred"),
        "query": (500, "InternalFailure", "An internal error has occurred"),
        "json": (500, "InternalServerError", "An internal error has occurred"),
    },
}


def refused(kind: str, service: str, action: str, account: str) -> Refused:
    """How the service says it. kind: throttled, denied, expired, off, error."""
    if kind != "denied":
        return Refused(*_SAID[kind][protocol(service)])
    who = f"arn:aws:sts::{account}:assumed-role/fleetwatch/i-1"
    text = f"User: {who} is not authorized to perform: {action} because no identity-based policy allows the action"
    if protocol(service) == "ec2":
        return Refused(403, "UnauthorizedOperation", f"You are not authorized to perform this operation. {text}")
    return Refused(400 if protocol(service) == "json" else 403, "AccessDeniedException", text)
