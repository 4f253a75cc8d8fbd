"""Tables of the ledger.

    label_sets   every distinct set of labels, as received (bounds are the meter's business)
    llm_calls    one row per counted call, for as long as `keep_days`; its unique key is what counts a call once
    totals       sums per label set since the ledger began; never pruned
    quarters     sums per quarter of an hour and label set (all time zones are multiples of a quarter); what is older
                 than a year is folded into quarter 0
    answers      the model that answered last to a name that was asked for: see answers.py
    usage_streams, usage_waiting, span_services   state of token metrics: see usage.py
    usage_families   whose token metrics count, where several instrumentations tell the same: see families.py
    duplicates   sightings that were not counted, by reason
    released     durable series whose true value has been shown, as (Prometheus name, labels as JSON)
    meta         checkpoint: id of the last call that totals and quarters contain, and when that was; pruned_before:
                 calls older than this may be gone
    hosts        the roster: a row per host, as of the last checkpoint; see records.hosts.Host
    host_requests   what other processes ask of the rosters, of hosts and of agents; see roster.py
    agent_processes   the roster of agents' processes, likewise; see records.agents.AgentProcess
    marks        id of the last call that had come at the first look of a day (days since 1970): tells which are old
    trace_spans  every span of an agent's work that was read, for a day: see traces.py
    calls_waiting   calls that count only if no better sighting comes: see waiting.py
    counts       durable counters and histograms of all that is not LLM totals: see counts.py
    traces_open  traces with tasks, and when their cost is to be settled: see agents.py
    evaluations  keys of evaluation results that were counted, for a day
    pipeline_runs, pipeline_phases   runs and executions of phases, under way and past, for as long as
                 `pipelines.keep_days`: see pipeline_rows.py and reckon/runs.py
    pipeline_waiting   phases that know only the trace of a run that has not come: see pipeline_waiting.py
    lineage_runs, lineage_names   who is part of whom among OpenLineage's jobs: see lineage.py
    acknowledgements   ids of silences that were counted: see acknowledgements.py
    pipelines, pipeline_names   pipelines, phases and their parts whose names were let in: see pipeline_names.py
    spot_*       machines of EC2, what they used and who took them away: see spot/tables.py

Rows, duplicates, counts and all that waits are written with every commit. Totals and quarters are written at a
checkpoint; at start the rows after it are folded in again, so they are as exact as the rows at a fraction of the
writes.

Money is an integer count of nano-USD, times are Unix nanoseconds.
"""

from __future__ import annotations

from fleetwatch.ledger import acknowledgements
from fleetwatch.ledger.pipelines import lineage
from fleetwatch.ledger.spot import tables as spot

VERSION = 5
"""Of the file. An older file is brought up to it when the writer opens it; see MIGRATIONS."""

TOKEN_KINDS = ("input", "cache_read", "cache_write", "output", "reasoning", "audio_in", "audio_out", "image")
"""Columns of token counts, in the order of records.llm.Tokens and of the catalogue's `kind`."""

SUMS = ("requests", "cost", *TOKEN_KINDS)

_COLUMNS = ", ".join(f"{name} INTEGER NOT NULL" for name in SUMS)

_HOSTS = """
CREATE TABLE hosts (
    name TEXT PRIMARY KEY,
    first_seen INTEGER NOT NULL, since INTEGER NOT NULL, last_report INTEGER NOT NULL, sent INTEGER NOT NULL,
    lag INTEGER NOT NULL, interval INTEGER NOT NULL,
    confirmed_at INTEGER, goodbye_at INTEGER, notice_at INTEGER, silent_at INTEGER,
    instance_type TEXT NOT NULL, region TEXT NOT NULL, lifecycle TEXT NOT NULL
) WITHOUT ROWID;
-- AUTOINCREMENT: the number of a request that was taken must not come again, its sender may still ask about it.
CREATE TABLE host_requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, wish TEXT NOT NULL, at INTEGER NOT NULL
);
"""

_TRACES = """
-- Of the span that was counted. Added to the table also in a new file: so all files are alike.
ALTER TABLE llm_calls ADD COLUMN parent BLOB NOT NULL DEFAULT x'';
CREATE TABLE trace_spans (
    -- The order of their coming. No index finds the spans of a trace: it is kept in memory, see traces.py.
    id INTEGER PRIMARY KEY,
    trace BLOB NOT NULL, span BLOB NOT NULL, parent BLOB NOT NULL,
    kind TEXT NOT NULL,
    start INTEGER NOT NULL, at INTEGER NOT NULL,
    -- When it came.
    seen INTEGER NOT NULL,
    -- llm_calls.id of a counted call; of a tool call the digest of the provider's id for it; else 0.
    call INTEGER NOT NULL,
    agent TEXT NOT NULL, team TEXT NOT NULL, what TEXT NOT NULL, outcome TEXT NOT NULL,
    flags INTEGER NOT NULL
);
CREATE TABLE calls_waiting (
    -- The order of their coming.
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, trace BLOB NOT NULL, due INTEGER NOT NULL, call TEXT NOT NULL
);
CREATE INDEX calls_waiting_due ON calls_waiting (due);
CREATE INDEX calls_waiting_trace ON calls_waiting (trace);
CREATE TABLE counts (
    metric TEXT NOT NULL, labels TEXT NOT NULL,
    -- Without a type: a whole number, or its digits where it outgrows an INTEGER.
    value NOT NULL,
    -- Of a histogram: counts per bucket as JSON, not cumulative.
    buckets TEXT,
    PRIMARY KEY (metric, labels)
) WITHOUT ROWID;
CREATE TABLE traces_open (
    trace BLOB PRIMARY KEY,
    -- When to look at it next; 0: all that came of it is settled.
    due INTEGER NOT NULL,
    -- Start of the earliest span that is not settled; a row that is not due says 0.
    since INTEGER NOT NULL,
    -- When a task of it came last.
    seen INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX traces_open_due ON traces_open (due) WHERE due > 0;
CREATE INDEX traces_open_seen ON traces_open (seen);
CREATE TABLE usage_families (
    service TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, family TEXT NOT NULL, seen INTEGER NOT NULL,
    PRIMARY KEY (service, provider, model)
) WITHOUT ROWID;
CREATE TABLE evaluations (key BLOB PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX evaluations_seen ON evaluations (seen);
CREATE TABLE agent_processes (
    agent TEXT NOT NULL, host TEXT NOT NULL, instance TEXT NOT NULL, team TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_report INTEGER NOT NULL, sent INTEGER NOT NULL,
    lag INTEGER NOT NULL, interval INTEGER NOT NULL,
    progress INTEGER, state TEXT NOT NULL, version TEXT NOT NULL, framework TEXT NOT NULL, model TEXT NOT NULL,
    goodbye_at INTEGER, silent_at INTEGER,
    PRIMARY KEY (agent, host, instance)
) WITHOUT ROWID;
"""

_PIPELINES = """
CREATE TABLE pipeline_runs (
    number INTEGER PRIMARY KEY,
    -- As records.pipelines.Run has them.
    pipeline TEXT NOT NULL, run TEXT NOT NULL,
    state TEXT NOT NULL, result TEXT NOT NULL, reason TEXT NOT NULL, error_type TEXT NOT NULL,
    started INTEGER NOT NULL, ended INTEGER,
    seen INTEGER NOT NULL, sent INTEGER NOT NULL, first_seen INTEGER NOT NULL, interval INTEGER,
    source TEXT NOT NULL, trace BLOB NOT NULL, host TEXT NOT NULL, instance TEXT NOT NULL, version TEXT NOT NULL,
    cores INTEGER, slot INTEGER, settled INTEGER NOT NULL,
    llm_cost INTEGER, llm_calls INTEGER NOT NULL, llm_unpriced INTEGER NOT NULL, machine_cost INTEGER,
    corrected TEXT NOT NULL, span BLOB NOT NULL,
    is_start_told INTEGER NOT NULL, end_told INTEGER, end_at INTEGER NOT NULL,
    is_judged INTEGER NOT NULL, is_counted INTEGER NOT NULL, told TEXT NOT NULL,
    cpu INTEGER, memory_peak INTEGER, read INTEGER, written INTEGER,
    -- When to look at it next; 0: nothing is to be done.
    due INTEGER NOT NULL DEFAULT 0,
    UNIQUE (pipeline, run)
);
CREATE INDEX pipeline_runs_started ON pipeline_runs (started);
CREATE INDEX pipeline_runs_of ON pipeline_runs (pipeline, started);
CREATE INDEX pipeline_runs_seen ON pipeline_runs (seen);
CREATE INDEX pipeline_runs_open ON pipeline_runs (pipeline) WHERE state <> 'ended';
CREATE INDEX pipeline_runs_slot ON pipeline_runs (pipeline, slot) WHERE slot IS NOT NULL;
CREATE INDEX pipeline_runs_due ON pipeline_runs (due) WHERE due > 0;
CREATE INDEX pipeline_runs_trace ON pipeline_runs (trace) WHERE trace <> x'';
CREATE TABLE pipeline_phases (
    -- Of its run.
    number INTEGER NOT NULL, execution TEXT NOT NULL,
    phase TEXT NOT NULL, subphase TEXT NOT NULL, attempt INTEGER NOT NULL,
    state TEXT NOT NULL, result TEXT NOT NULL, reason TEXT NOT NULL, error_type TEXT NOT NULL,
    started INTEGER NOT NULL, ended INTEGER, sent INTEGER NOT NULL, span BLOB NOT NULL,
    llm_cost INTEGER, machine_cost INTEGER,
    is_start_told INTEGER NOT NULL, end_told INTEGER, end_at INTEGER NOT NULL,
    is_judged INTEGER NOT NULL, is_counted INTEGER NOT NULL, told TEXT NOT NULL,
    cpu INTEGER, memory_peak INTEGER, read INTEGER, written INTEGER,
    items_in INTEGER NOT NULL, items_out INTEGER NOT NULL, expected INTEGER, warnings INTEGER NOT NULL,
    artifacts INTEGER NOT NULL, artifact_bytes INTEGER NOT NULL, errors TEXT NOT NULL, signals TEXT NOT NULL,
    PRIMARY KEY (number, execution)
) WITHOUT ROWID;
CREATE TABLE pipelines (
    pipeline TEXT PRIMARY KEY, first_seen INTEGER NOT NULL, last_success INTEGER, last_completion INTEGER,
    -- When anything of it came last, by this machine's clock.
    seen INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE pipeline_names (
    pipeline TEXT NOT NULL, phase TEXT NOT NULL, subphase TEXT NOT NULL,
    last_success INTEGER, last_completion INTEGER, memory_peak INTEGER,
    -- JSON: name of a gauge -> [when it was told last, its value].
    signals TEXT NOT NULL,
    PRIMARY KEY (pipeline, phase, subphase)
) WITHOUT ROWID;
CREATE TABLE pipeline_waiting (
    -- The order of their coming.
    number INTEGER PRIMARY KEY,
    trace BLOB NOT NULL, span BLOB NOT NULL, seen INTEGER NOT NULL, report TEXT NOT NULL,
    UNIQUE (trace, span)
);
"""

MIGRATIONS = {1: _HOSTS, 2: _TRACES, 3: _PIPELINES + lineage.SCHEMA + acknowledgements.SCHEMA, 4: spot.SCHEMA}
"""Version of a file -> what makes it the next version."""

SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE label_sets (
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL, team TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    operation TEXT NOT NULL, outcome TEXT NOT NULL, error_type TEXT NOT NULL, confidence TEXT NOT NULL,
    UNIQUE (agent, team, provider, model, operation, outcome, error_type, confidence)
);
CREATE TABLE llm_calls (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    span BLOB NOT NULL,
    at INTEGER NOT NULL,
    labels INTEGER NOT NULL REFERENCES label_sets (id),
    {_COLUMNS},
    duration INTEGER,
    first_token INTEGER
);
CREATE TABLE totals (
    labels INTEGER PRIMARY KEY REFERENCES label_sets (id),
    {_COLUMNS},
    -- Text: thousands of calls at once make more nanoseconds in a month than an INTEGER of SQLite holds.
    duration_sum TEXT NOT NULL, duration_counts TEXT NOT NULL,
    first_token_sum TEXT NOT NULL, first_token_counts TEXT NOT NULL
);
CREATE TABLE quarters (
    quarter INTEGER NOT NULL, labels INTEGER NOT NULL REFERENCES label_sets (id),
    {_COLUMNS},
    PRIMARY KEY (quarter, labels)
) WITHOUT ROWID;
CREATE TABLE marks (day INTEGER PRIMARY KEY, call INTEGER NOT NULL);
CREATE TABLE answers (
    provider TEXT NOT NULL, asked TEXT NOT NULL, model TEXT NOT NULL, PRIMARY KEY (provider, asked)
) WITHOUT ROWID;
CREATE TABLE duplicates (reason TEXT PRIMARY KEY, calls INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE released (metric TEXT NOT NULL, labels TEXT NOT NULL, PRIMARY KEY (metric, labels)) WITHOUT ROWID;
CREATE TABLE usage_streams (
    stream BLOB PRIMARY KEY, at INTEGER NOT NULL, requests INTEGER NOT NULL, tokens TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE usage_waiting (
    key BLOB PRIMARY KEY, due INTEGER NOT NULL, service TEXT NOT NULL, point TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE span_services (service TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('checkpoint', 0), ('checkpoint_at', 0), ('pruned_before', 0);
{_HOSTS}{_TRACES}{_PIPELINES}{lineage.SCHEMA}{acknowledgements.SCHEMA}{spot.SCHEMA}PRAGMA user_version = {VERSION};
"""


def told(version: int) -> str:
    """Why a file of another version cannot be used as it is."""
    if version < VERSION:
        return f"its format is {version}; an exporter of this version makes it {VERSION} when it starts"
    return f"its format is {version}; this program knows up to {VERSION}: run the newer one"


INSERT_CALL = (
    f"INSERT OR IGNORE INTO llm_calls (key, span, at, labels, {', '.join(SUMS)}, duration, first_token, parent) "
    f"VALUES ({', '.join('?' * (len(SUMS) + 7))})"
)

FOLD_QUARTERS = (
    f"INSERT INTO quarters (quarter, labels, {', '.join(SUMS)}) "
    f"SELECT at / 900000000000, labels, {', '.join(f'sum({name})' for name in SUMS)} FROM llm_calls "
    "WHERE id > ? AND id <= ? GROUP BY 1, 2 "
    f"ON CONFLICT (quarter, labels) DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)

FOLD_OLD_QUARTERS = (
    f"INSERT INTO quarters (quarter, labels, {', '.join(SUMS)}) "
    f"SELECT 0, labels, {', '.join(f'sum({name})' for name in SUMS)} FROM quarters "
    "WHERE quarter > 0 AND quarter < ? GROUP BY 2 "
    f"ON CONFLICT (quarter, labels) DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
