"""Provider bills: what was billed for closed UTC days, beside what was metered for the same days."""

from __future__ import annotations

from fleetwatch.catalogue.llm import CONFIDENCE
from fleetwatch.catalogue.metric import gauge, label

PROVIDER = label("provider", "Whose bill it is.", one_of=("openai", "anthropic", "aws"))
WINDOW = label(
    "window",
    "Settled days, counted back from the last one; fewer where metering began later.",
    one_of=("1d", "7d", "30d"),
)
VERDICT = label(
    "verdict",
    "Billed against metered: the same within the tolerance; not the same; billed without one metered call; metered and "
    "not billed; metered more than billed while the bill leaves a part out.",
    one_of=("ok", "drift", "unmetered_provider", "unbilled", "incomplete"),
)
ACCOUNT = label("account", "OpenAI project, Anthropic workspace or AWS account; `default` for none.", at_most=100)
LINE = label("line", "What is billed: OpenAI's line item, Anthropic's description, AWS' service.", at_most=60)
KIND = label(
    "kind",
    "Kind of token; kinds do not overlap. Bills count reasoning as output.",
    one_of=("input", "cache_read", "cache_write", "output", "audio_in", "audio_out", "image"),
)

USD = gauge(
    "bill.usd",
    unit="{USD}",
    help="Billed for the days of the window, as the provider says now.",
    labels=(PROVIDER, WINDOW),
)
METERED_USD = gauge(
    "bill.metered.usd",
    unit="{USD}",
    help="Metered for the same days from the calls themselves, by how sure the cost is.",
    labels=(PROVIDER, WINDOW, CONFIDENCE),
)
UNMETERED_USD = gauge(
    "bill.unmetered.usd",
    unit="{USD}",
    help="Billed less metered; negative where more was metered than billed.",
    labels=(PROVIDER, WINDOW),
)
DRIFT = gauge(
    "bill.drift",
    unit="1",
    help="Billed over metered, less 1: 0 is agreement, 0.1 is billed 10 % more. Absent where nothing was metered.",
    labels=(PROVIDER, WINDOW),
)
VERDICT_STATE = gauge(
    "bill.verdict",
    unit="",
    help="1 for the verdict on the window, 0 for the others; by the tolerance of the settings.",
    labels=(PROVIDER, WINDOW, VERDICT),
)
WINDOW_DAYS = gauge("bill.window.days", unit="{day}", help="Settled days in the window.", labels=(PROVIDER, WINDOW))
ESTIMATED_USD = gauge(
    "bill.estimated.usd",
    unit="{USD}",
    help="Part of the billed that the provider calls an estimate; AWS does until the month's bill is final.",
    labels=(PROVIDER, WINDOW),
)
UNPRICED_REQUESTS = gauge(
    "bill.metered.unpriced_requests",
    unit="{request}",
    help="Metered calls without a known price in the window: their cost is missing from the metered side.",
    labels=(PROVIDER, WINDOW),
)
UNCOSTED_TOKENS = gauge(
    "bill.uncosted.tokens",
    unit="{token}",
    help="Tokens whose cost is missing from the bill itself: Anthropic's Priority Tier is on no cost report.",
    labels=(PROVIDER, WINDOW),
)
TOKENS = gauge(
    "bill.tokens",
    unit="{token}",
    help="Tokens that the provider counted in the window, of chats and embeddings.",
    labels=(PROVIDER, WINDOW, KIND),
)
METERED_TOKENS = gauge(
    "bill.metered.tokens",
    unit="{token}",
    help="Tokens that were metered in the window.",
    labels=(PROVIDER, WINDOW, KIND),
)

LINE_USD = gauge(
    "bill.line.usd",
    unit="{USD}",
    help="Billed for the last seven settled days by account and line; the smaller ones together are `_other`.",
    labels=(PROVIDER, ACCOUNT, LINE),
)
REVISED_USD = gauge(
    "bill.revised.usd",
    unit="{USD}",
    help="Sum of what the provider changed on days after they had counted as settled, over the days on file.",
    labels=(PROVIDER,),
)
SETTLED = gauge(
    "bill.settled.timestamp",
    unit="s",
    help="End of the last day that is settled, Unix time: it was read when the provider's lag had passed.",
    labels=(PROVIDER,),
)
READ = gauge(
    "bill.read.timestamp",
    unit="s",
    help="When the bill was last read to its end, Unix time; survives a restart.",
    labels=(PROVIDER,),
)
LAG = gauge(
    "bill.lag",
    unit="s",
    help="Time after the end of a day that the provider is given to settle it, from the settings.",
    labels=(PROVIDER,),
)
