"""The door of AWS on loopback: whose request it is, whether it is refused, who answers it."""

from __future__ import annotations

import gzip
import logging
import os
import re
import threading
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NamedTuple

from support_ec2_answers import ANSWERS
from support_ec2_wire import Refused, Reply, asked_of, model, operation_of, refusal, refused, written

if TYPE_CHECKING:
    from support_ec2 import Ec2

SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
NAMES = {"monitoring": "cloudwatch"}
"""Service as requests are signed for it -> as IAM calls it, where they differ."""


class Asked(NamedTuple):
    account: str
    region: str
    action: str
    """As IAM calls it: `ec2:DescribeInstances`."""
    parameters: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Ec2

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # whoever asked was killed meanwhile
            self.close_connection = True
            return
        if self.headers.get("Content-Encoding") == "gzip":  # as the SDK sends what is large
            body = gzip.decompress(body)
        scope = SCOPE.search(self.headers.get("Authorization", ""))
        assert scope, "unsigned request"
        key, region, signed_for = scope.groups()
        service = NAMES.get(signed_for, signed_for)
        try:
            reply = self._answer(service, key, region, body)
        except Refused as error:
            reply = refusal(service, error)
        except Exception as error:
            self.server.wrong.append(f"{service}: {type(error).__name__}: {error}")
            reply = Reply(500, "text/html", b"<h1>500</h1>")
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _answer(self, service: str, key: str, region: str, body: bytes) -> Reply | None:
        """None: the connection is closed without one."""
        account = self.server.identities.get(key)
        operation = model(service).operation_model(operation_of(service, body, dict(self.headers)))
        action = f"{service}:{operation.name}"
        asked = Asked(account or "", region, action, asked_of(operation, body))
        self.server.asked.append(asked)
        kind = self.server.kind_of_refusal(asked)
        if kind == "hang":
            self.server.hang()
            return None
        if kind == "html":
            return Reply(500, "text/html", b"<html><body><h1>Internal Server Error</h1></body></html>")
        if kind == "page":  # of a network that wants somebody to sign in
            return Reply(200, "text/html", b"<!doctype html><p>Sign in")
        if kind or account is None:
            raise refused(kind or "off", service, action, account or "")
        answer = ANSWERS.get(action)
        if answer is not None:
            return written(operation, answer(self.server, asked))
        return _moto_s(self.server.url, account, self.path, dict(self.headers), body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _moto_s(url: str, account: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
    # Here, because moto is slow to load, and few tests need it. The same below.
    from werkzeug.test import EnvironBuilder, run_wsgi_app

    given = [*headers.items(), ("x-moto-account-id", account)]
    environ = EnvironBuilder(path=path, method="POST", base_url=url, headers=given, data=body).get_environ()
    chunks, status, told = run_wsgi_app(_moto(), environ, buffered=True)
    return Reply(int(status.split()[0]), told.get("Content-Type", ""), b"".join(chunks))


_loading = threading.Lock()


def _moto() -> Any:
    # They come with 1,300 snapshots. moto looks when an account is first asked about, and a test may have put the
    # environment back since it was loaded.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    with _loading:
        return _load_moto()


@cache
def _load_moto() -> Any:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        create_backend_app,
    )

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    return DomainDispatcherApplication(create_backend_app)


def forget_moto_s() -> None:
    """All that was made in it: it is one for the process."""
    if _load_moto.cache_info().currsize:
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()
