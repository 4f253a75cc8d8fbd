"""The way to AWS by the settings, and what else sources of clouds need."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fleetwatch.collect.asking import is_loopback
from fleetwatch.collect.here import (
    AiServices,
    ClusterAccess,
    KubernetesAccess,
    ScoreRequest,
    SpotAccess,
    SpotQueue,
    StorageAccess,
)
from fleetwatch.settings import Settings, SettingsError

if TYPE_CHECKING:  # loaded where AWS is asked
    from fleetwatch.aws.session import Aws
    from fleetwatch.reckon.price import PriceBook


def aws_of(settings: Settings) -> Aws | None:
    """None where AWS is not asked: nothing of it is loaded then. Raises SettingsError."""
    asked = (settings.aws.enabled, settings.bills.aws.enabled, settings.spot.enabled, settings.storage.enabled)
    if not any(asked):
        return None
    from fleetwatch.aws.access import Access, Account  # noqa: PLC0415 - see above
    from fleetwatch.aws.session import Aws  # noqa: PLC0415 - see above

    _check_endpoint(settings.aws.endpoint_url)
    _check_accounts(settings)
    aws = settings.aws
    accounts = [Account(item.name, item.role_arn, item.external_id) for item in aws.accounts]
    access = Access(
        regions=tuple(dict.fromkeys(aws.regions)),
        accounts=tuple(accounts) or (Account(),),
        profile=aws.profile,
        endpoint_url=aws.endpoint_url,
        timeout=aws.timeout,
        attempts=aws.attempts,
    )
    return Aws(access)


def ai_services_of(settings: Settings) -> AiServices:
    """Raises SettingsError for a service that does not exist."""
    ai = settings.ai_services
    if ai.invocations:
        from fleetwatch.catalogue.ai_services import SERVICE  # noqa: PLC0415 - a sidecar has no AI services

        for name in ai.invocations:
            if name not in SERVICE.one_of:
                raise SettingsError(f"ai_services.invocations.{name}: expected one of {', '.join(SERVICE.one_of)}")
    health = (ai.degraded_ratio, ai.throttled_ratio, ai.failing_ratio, ai.least_calls)
    return AiServices(dict(ai.invocations), health, settings.labels.limits)


def spot_of(settings: Settings) -> SpotAccess | None:
    """None where machines of EC2 are not asked about. Raises SettingsError."""
    spot = settings.spot
    if not spot.enabled:
        return None
    _check_spot(settings)
    return SpotAccess(
        team_tag=spot.team_tag,
        workload_tag=spot.workload_tag,
        on_demand_tag=spot.on_demand_tag,
        cluster_tag=spot.cluster_tag,
        queues=tuple(SpotQueue(item.url, item.region, item.account) for item in spot.queues),
        advisor_url=spot.advisor_url,
        advisor_file=spot.advisor_file,
        prices_file=spot.prices_file,
        scores=tuple(
            ScoreRequest(item.name, tuple(item.instance_types), item.capacity, item.unit, item.single_zone)
            for item in spot.scores
        ),
        capacity_manager=spot.capacity_manager,
        load=spot.load,
        not_eligible=frozenset(item.name for item in spot.workloads if not item.eligible),
    )


def storage_of(settings: Settings) -> StorageAccess | None:
    """None where storage is not asked about."""
    storage = settings.storage
    return StorageAccess(storage.grace, storage.prices_file) if storage.enabled else None


def kubernetes_of(settings: Settings) -> KubernetesAccess | None:
    """None where no cluster is watched. Raises SettingsError."""
    given = settings.kubernetes
    if not given.clusters:
        return None
    from fleetwatch.catalogue.kubernetes import CLUSTER, NODE  # noqa: PLC0415 - a sidecar does not know clusters

    limits = settings.labels.limits
    most = limits.get(CLUSTER.name, CLUSTER.at_most)
    if len(given.clusters) > most:
        expected = f"expected at most {most} (labels.limits.{CLUSTER.name})"
        raise SettingsError(f"kubernetes.clusters: {expected}, got {len(given.clusters)}")
    names = [cluster.name for cluster in given.clusters]
    for place, name in enumerate(names):
        if not name:
            raise SettingsError(f'kubernetes.clusters[{place}].name: expected a name, got ""')
        if name in names[:place]:
            first = names.index(name)
            raise SettingsError(
                f'kubernetes.clusters[{place}].name: expected another than that of [{first}], got "{name}"'
            )
    return KubernetesAccess(
        clusters=tuple(ClusterAccess(item.name, item.client, item.kubeconfig, item.context) for item in given.clusters),
        pool_labels=tuple(given.pool_labels),
        on_demand_annotation=given.on_demand_annotation,
        namespaces=frozenset(given.namespaces),
        drain_within=given.drain_within,
        notice_lag=given.notice_lag,
        replacement_ready=given.replacement_ready,
        most_nodes=limits.get(NODE.name, NODE.at_most),
    )


def prices_of(settings: Settings) -> PriceBook:
    """A price book by the settings."""
    from fleetwatch.app.prices import price_book  # noqa: PLC0415 - the price table is slow to load

    return price_book(settings)


def _check_endpoint(url: str) -> None:
    """Credentials of roles are in STS's answers, and session tokens in each request."""
    if url and not _is_safe(url):
        raise SettingsError(
            f'aws.endpoint_url: expected an address like https://vpce.example, http only on this machine, got "{url}"'
        )


def _check_spot(settings: Settings) -> None:
    spot, accounts = settings.spot, {account.name for account in settings.aws.accounts}
    for place, queue in enumerate(spot.queues):
        if not _is_safe(queue.url):
            expected = "expected an address like https://sqs.eu-west-1.amazonaws.com/111122223333/fleetwatch"
            raise SettingsError(f'spot.queues[{place}].url: {expected}, got "{queue.url}"')
        if queue.account and queue.account not in accounts:
            raise SettingsError(f'spot.queues[{place}].account: expected a name in aws.accounts, got "{queue.account}"')
    names = [score.name for score in spot.scores]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise SettingsError(
                f'spot.scores[{place}].name: expected another than that of [{names.index(name)}], got "{name}"'
            )


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def _check_accounts(settings: Settings) -> None:
    from fleetwatch.catalogue.aws import ACCOUNT, REGION  # noqa: PLC0415 - a sidecar does not know AWS

    accounts = settings.aws.accounts
    for label, number in ((ACCOUNT, len(accounts)), (REGION, len(set(settings.aws.regions)))):
        most = settings.labels.limits.get(label.name, label.at_most)
        if number > most:
            # Those past the bound would all be one series, which shows one of them instead of their sum.
            raise SettingsError(
                f"aws.{label.name}s: expected at most {most} (labels.limits.{label.name}), got {number}"
            )
    for place, account in enumerate(accounts):
        if account.role_arn and not account.role_arn.startswith("arn:"):
            raise SettingsError(
                f'aws.accounts[{place}].role_arn: expected arn:aws:iam::NUMBER:role/NAME, got "{account.role_arn}"'
            )
    names = [account.name or account.role_arn for account in accounts]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise SettingsError(
                f'aws.accounts[{place}].name: expected another than that of [{names.index(name)}], got "{name}"'
            )
