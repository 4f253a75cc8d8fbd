"""A real Kubernetes API on loopback: etcd and kube-apiserver with RBAC. No controllers; kubelets by kwok where wanted.

with cluster(tmp_path) as api:
    api.apply(objects)
    api.ask("GET", "/api/v1/pods", api.token("fleetwatch", "fleetwatch-agent"))
"""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support import free_port, wait_for
from support_stack import program, running

ADMIN = "admin-token-of-the-tests"  # of an API server that lives for a few seconds on loopback
KWOK = ("kwok.x-k8s.io/node", "fake")
"""Annotation of nodes whose kubelet is kwok."""
NAMESPACED = frozenset(
    {
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "NetworkPolicy",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
    }
)


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


class Api:
    """The API server at `base`, and what its certificate says."""

    def __init__(self, base: str, ca_file: Path) -> None:
        self.base = base
        self.ca_file = ca_file
        self._tls = ssl.create_default_context(cafile=str(ca_file))

    def ask(self, method: str, path: str, token: str = ADMIN, body: object = None, kind: str = "json") -> Answer:
        """One request; kind: of the body, json or apply-patch+yaml (JSON is YAML)."""
        request = urllib.request.Request(
            self.base + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": f"application/{kind}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._tls) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.load(error))

    def apply(self, thing: Mapping[str, Any], *, dry: bool = False) -> Answer:
        """Server-side apply, strict: a field that the API does not know is refused."""
        options = "fieldManager=tests&force=true&fieldValidation=Strict" + ("&dryRun=All" if dry else "")
        return self.ask("PATCH", f"{self.path(thing)}?{options}", body=thing, kind="apply-patch+yaml")

    def path(self, thing: Mapping[str, Any]) -> str:
        version = thing["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        kind = thing["kind"]
        plural = "networkpolicies" if kind == "NetworkPolicy" else kind.lower() + "s"
        space = f"/namespaces/{thing['metadata']['namespace']}" if kind in NAMESPACED else ""
        return f"{root}{space}/{plural}/{thing['metadata']['name']}"

    def token(self, namespace: str, account: str) -> str:
        """A token of a service account, as its pods get one."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = self.ask("POST", path, body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})
        return str(answer.body["status"]["token"])


def kubeconfig(file: Path, api: Api, token: str = ADMIN) -> Path:
    """A file by which clients come in with this token."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
        "clusters": [{"name": "here", "cluster": {"server": api.base, "certificate-authority": str(api.ca_file)}}],
        "users": [{"name": "here", "user": {"token": token}}],
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(config))  # JSON is YAML
    return file


@contextmanager
def kubelets(folder: Path, api: Api) -> Iterator[None]:
    """The kubelets of nodes with the annotation KWOK, played by kwok: nodes and pods become ready, pods that are told
    to end are gone.
    """
    kwok = program("kwok")
    log = folder / "kwok.log"
    selector = "=".join(KWOK)
    command = [kwok, f"--manage-nodes-with-annotation-selector={selector}", "--config=/dev/null"]
    command.append(f"--kubeconfig={kubeconfig(folder / 'kwok.yaml', api)}")
    with running(command, log, {"HOME": str(folder)}):
        yield


@contextmanager
def cluster(folder: Path) -> Iterator[Api]:
    """Ready until the block ends. Skips the test by name where the programs are not here."""
    etcd, server = program("etcd"), program("kube-apiserver")
    cert, key = _certificate(folder)
    store, peer, secure = (f"127.0.0.1:{free_port()}" for _ in range(3))
    (folder / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
    with ExitStack() as stack:
        command = [etcd, f"--data-dir={folder / 'etcd'}", f"--listen-client-urls=http://{store}"]
        command += [f"--advertise-client-urls=http://{store}", f"--listen-peer-urls=http://{peer}"]
        command += [f"--initial-advertise-peer-urls=http://{peer}", f"--initial-cluster=default=http://{peer}"]
        stack.enter_context(running([*command, "--unsafe-no-fsync"], folder / "etcd.log"))
        command = [server, f"--etcd-servers=http://{store}", "--bind-address=127.0.0.1"]
        command += [f"--secure-port={secure.rpartition(':')[2]}", f"--tls-cert-file={cert}"]
        command += [f"--tls-private-key-file={key}", f"--service-account-key-file={key}"]
        command += [f"--service-account-signing-key-file={key}", "--service-account-issuer=https://kubernetes.test"]
        command += [f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC"]
        command += ["--service-cluster-ip-range=10.0.0.0/24", f"--cert-dir={folder}"]
        log = folder / "kube-apiserver.log"
        stack.enter_context(running(command, log))
        api = Api(f"https://{secure}", cert)
        wait_for(lambda: _is_ready(api), 60, f"the API server; {log}")
        yield api


def _is_ready(api: Api) -> bool:
    try:
        # The namespace is made by the server itself after its start.
        return api.ask("GET", "/api/v1/namespaces/default").status == 200
    except (OSError, ValueError):
        return False


def _certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "server.crt", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key
