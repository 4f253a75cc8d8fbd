"""What the boards of savings, of pools and of clusters share."""

from __future__ import annotations

from dataclasses import replace

from grafana.house import BAD, GOOD, NEUTRAL, QUIET, WARN, Expr, Limits, Recorded

from fleetwatch.catalogue import aws, kubernetes, spot
from fleetwatch.catalogue.metric import Label

ACCOUNT, REGION, TEAM, WORKLOAD = aws.ACCOUNT, aws.REGION, spot.TEAM, spot.WORKLOAD
AZ_ID, INSTANCE_TYPE, PRODUCT = spot.AZ_ID, spot.INSTANCE_TYPE, spot.PRODUCT
LIFECYCLE, REASON, RESULT = spot.LIFECYCLE, spot.REASON, spot.RESULT
PLACE = (ACCOUNT, REGION)
POOL = spot.POOL
WHO = (TEAM, WORKLOAD)

# What rules keep: of the past day, of 30 days, of this month.
OF_USE = (ACCOUNT, REGION, TEAM, WORKLOAD, LIFECYCLE)
SPENT_MONTH = Recorded("spot:spend_usd:month", OF_USE)
EQUIVALENT_MONTH = Recorded("spot:equivalent_usd:month", OF_USE)
VCPU_MONTH = Recorded("spot:vcpu_hours:month", (*OF_USE, spot.ELIGIBLE))
LOST_MONTH = Recorded("spot:interruption_cost_usd:month", PLACE)
SPENT_30D = Recorded("spot:spend_usd:increase30d", OF_USE)
EQUIVALENT_30D = Recorded("spot:equivalent_usd:increase30d", OF_USE)
VCPU_30D = Recorded("spot:vcpu_hours:increase30d", (*OF_USE, spot.ELIGIBLE))
SAVINGS_RATE = Recorded("spot:savings:usd_per_hour", OF_USE)
OF_TYPE = (ACCOUNT, REGION, INSTANCE_TYPE)
TAKEN_1D = Recorded("spot:interruptions:increase1d", OF_TYPE)
TAKEN_30D = Recorded("spot:interruptions:increase30d", OF_TYPE)
HOURS_1D = Recorded("spot:spot_hours:increase1d", OF_TYPE)
HOURS_30D = Recorded("spot:spot_hours:increase30d", OF_TYPE)
RATE_1D = Recorded("spot:interruption_rate:per_100h_1d", PLACE)
SHARE_OF_WORKLOAD = Recorded("spot:pool_share:ratio", (WORKLOAD, *POOL))
USED_RISK = Recorded("spot:used_pool_risk:score", (WORKLOAD, *POOL))
UNPRICED_TOTAL = Recorded("spot:unpriced_hours:total", (ACCOUNT, REGION, spot.PRICE), "counter")
RECORDED_EVERY = "1m"

NODES_OF = kubernetes.NODES_OF
NODES = Recorded("kubernetes:nodes:count", NODES_OF)
DRAINABLE = Recorded("kubernetes:drainable:count", NODES_OF)
UNDRAINABLE = Recorded("kubernetes:undrainable:count", NODES_OF)

NOT_ASKED = "AWS is not asked about machines (spot.enabled)"
NOT_COUNTED = "Nothing is counted yet, or AWS is not asked (spot.enabled)"
NO_SPOT = "No spot machine runs, or AWS is not asked (spot.enabled)"
NO_CLUSTER = "No cluster is watched (kubernetes.clusters)"
NOBODY = "(none)"

AT_ALL = Limits(warn=0.5, bad=0.5)
RISKS = Limits(warn=50, bad=70)
PRICE_AGES = Limits(warn=1800, bad=3600)

LIFECYCLES = {
    "spot": GOOD,
    "on_demand": NEUTRAL,
    "scheduled": "light-blue",
    "capacity_block": "purple",
    "interruptible_reservation": WARN,
    "unknown": QUIET,
}
REASONS = {"capacity": BAD, "price": WARN, "constraint": "purple", "unknown": QUIET}
RESULTS = {"in_time": GOOD, "late": BAD, "not_seen": WARN}
KINDS = {
    "rebalance": ("At risk", NEUTRAL),
    "warning": ("Warned", WARN),
    "interruption": ("Taken", BAD),
    "capacity": ("No capacity", BAD),
    "price": ("Price", WARN),
    "constraint": ("Constraint", "purple"),
    "unknown": ("–", QUIET),
    "pending": ("Open", NEUTRAL),
    "in_time": ("Left in time", GOOD),
    "late": ("Left too late", BAD),
    "not_seen": ("Nobody left", WARN),
    "followed": ("As advised", GOOD),
    "elsewhere": ("Elsewhere", NEUTRAL),
}
TITLES = {
    ACCOUNT.name: "Account",
    REGION.name: "Region",
    TEAM.name: "Team",
    WORKLOAD.name: "Workload",
    AZ_ID.name: "Zone",
    INSTANCE_TYPE.name: "Type",
    PRODUCT.name: "Product",
    LIFECYCLE.name: "Bought as",
    spot.SOURCE.name: "Source",
    spot.INSTANCE.name: "Machine",
    kubernetes.CLUSTER.name: "Cluster",
    kubernetes.NODE.name: "Node",
    kubernetes.NODEPOOL.name: "Pool",
    kubernetes.ZONE.name: "Zone",
    kubernetes.NAMESPACE.name: "Namespace",
    kubernetes.PDB.name: "Budget",
    kubernetes.WATCHED.name: "Of what",
    kubernetes.BLOCKED.name: "Held by",
}
BOARDS = {"spot": "Savings", "pools": "Pools", "kubernetes": "Clusters", "hosts": "Hosts"}


def leads_to(stem: str) -> list[tuple[str, str]]:
    return [(other, title) for other, title in BOARDS.items() if other != stem]


def filled(expr: Expr, *labels: Label, words: str = NOBODY) -> Expr:
    """With words where a label is empty."""
    for label in labels:
        text = f'label_replace({expr.text}, "{label.name}", "{words}", "{label.name}", "")'
        expr = replace(expr, text=text, infix=False)
    return expr
