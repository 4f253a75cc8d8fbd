"""A small fleet of agents that do nothing but look busy, instrumented as an application is.

    service      helpdesk -> kb-search, reply-writer     answers questions; some are taken over by a person
                 escalation                              waits for a person most of its time
    engineering  coder -> reviewer                       writes changes until its tests pass, or gives up
                 test-fixer                              runs in circles: one failing call, over and over
                 deployer                                hangs in its tool after a while, alive and without progress

What each does next follows from the seed. Time is real: calls take as long as they say, divided by the speed.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, NamedTuple

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, TracerProvider

from fleetwatch.demo.calls import MODELS, Call, Model
from fleetwatch.demo.calls import Agent as Caller
from fleetwatch.demo.spans import attributes_of
from fleetwatch.instrument import Agent, agent

BY_NAME: Final = {model.requested: model for model in MODELS}
LONGEST_CALL: Final = 3.0
"""Seconds of a model's answer; the demo has three minutes to fill the boards."""
_HARDLY_FAILS, _OFTEN_FAILS = 0.02, 0.45


class ProviderError(Exception):
    """The demo's provider refuses a call."""


class Role(NamedTuple):
    """One agent. models: what it asks, the first most often."""

    name: str
    team: str
    framework: str
    models: tuple[str, ...]
    temperature: float
    version: str = "1.4"


HELPDESK = Role("helpdesk", "service", "langgraph", ("gpt-4o-mini",), 0.2)
KB_SEARCH = Role("kb-search", "service", "langgraph", ("gemini-2.5-flash",), 0.0)
REPLY_WRITER = Role("reply-writer", "service", "langgraph", ("claude-haiku-4-5", "gpt-4o", "gemini-2.5-flash"), 0.7)
ESCALATION = Role("escalation", "service", "langgraph", ("gpt-4o-mini",), 0.2, "0.9")
CODER = Role("coder", "engineering", "openai-agents", ("claude-sonnet-4-5", "gpt-5", "gemini-2.5-pro"), 1.0, "2.0")
REVIEWER = Role("reviewer", "engineering", "openai-agents", ("gpt-4o",), 0.0, "2.0")
TEST_FIXER = Role("test-fixer", "engineering", "pydantic-ai", ("acme-coder-7b",), 0.3, "0.3")
DEPLOYER = Role("deployer", "engineering", "pydantic-ai", ("gpt-4o",), 0.0)
ROLES: Final = (HELPDESK, KB_SEARCH, REPLY_WRITER, ESCALATION, CODER, REVIEWER, TEST_FIXER, DEPLOYER)


class Cancelled(BaseException):
    """The demo ends, and what is open with it. No Exception: nobody here may take it for a failure."""


class Actor:
    """One agent with its own dice and its own clock."""

    def __init__(self, role: Role, fleet: Fleet) -> None:
        self.role, self.fleet = role, fleet
        self.dice = random.Random(f"{fleet.seed}/{role.name}")  # noqa: S311 - a demo must repeat, not surprise
        self.me: Agent = agent(
            role.name,
            version=role.version,
            framework=role.framework,
            team=role.team,
            model=role.models[0],
            tracer_provider=fleet.tracers,
            meter_provider=fleet.meters,
        )
        self._asked = 0

    def pause(self, seconds: float) -> None:
        """Raises Cancelled."""
        if self.fleet.stop.wait(seconds / self.fleet.speed):
            raise Cancelled

    def happens(self, share: float) -> bool:
        return self.dice.random() < share

    def pick(self) -> Model:
        """A model of the role's; the first as often as all others together."""
        models = self.role.models
        return BY_NAME[self.dice.choices(models, [max(1, len(models) - 1), *[1] * (len(models) - 1)])[0]]

    def ask(self, model: Model, context: int, answer: int) -> None:
        """One call of a model with so many tokens, more or less. Raises ProviderError, Cancelled."""
        context, answer = (int(count * self.dice.lognormvariate(0, 0.3)) for count in (context, answer))
        fails = self.happens(_HARDLY_FAILS)
        takes = min(model.first + answer / model.speed, LONGEST_CALL)
        self._asked += 1
        text = f"{self.fleet.run_id}/{self.role.name}/{self._asked}"
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        cached = int(context * self.dice.uniform(0.3, 0.9)) if context > 1024 and self.happens(0.6) else 0
        reasoning = answer // 2 if model.reasons else 0
        call = Call(
            0.0,
            seed,
            Caller(self.role.name, self.role.team, 1),
            model,
            "error" if fails else "ok",
            "429" if fails else "",
            "" if fails else "stop",
            context,
            cached,
            0,
            answer,
            reasoning,
            takes,
            min(model.first, takes / 2) / self.fleet.speed,
            "",
        )  # fmt: skip - in the order of the record
        attributes = {**attributes_of(call), "gen_ai.request.temperature": self.role.temperature}
        # Who calls is for AgentNames to say, as with every client library.
        del attributes["gen_ai.agent.name"]
        with self.fleet.tracer.start_as_current_span(
            f"chat {model.requested}", kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
        ) as span:
            self.pause(0.2 if fails else takes)
            if fails:
                span.set_status(Status(StatusCode.ERROR))
                raise ProviderError

    def use(self, tool: str, arguments: object, seconds: float, failing: float = _HARDLY_FAILS) -> bool:
        """One tool call; whether it went well. Raises Cancelled."""
        with self.me.tool(tool, arguments) as call:
            self.pause(seconds * self.dice.uniform(0.5, 1.5))
            if self.happens(failing):
                call.fail("ToolTimeout" if self.happens(0.3) else "ToolError")
                return False
            call.result(self.dice.random())
            return True


class Fleet:
    """All agents, in the process of this fleet. speed: times real time; run_id: makes the calls of a run its own."""

    def __init__(
        self, tracers: TracerProvider, meters: MeterProvider, *, seed: int, run_id: str, speed: float = 1.0
    ) -> None:
        self.tracers, self.meters = tracers, meters
        self.tracer: Tracer = tracers.get_tracer("fleetwatch.demo")
        self.seed, self.run_id, self.speed = seed, run_id, speed
        self.stop = threading.Event()
        self.actors = {role: Actor(role, self) for role in ROLES}
        self._threads: list[threading.Thread] = []
        self._there = ExitStack()

    def start(self) -> None:
        for actor in self.actors.values():
            self._there.enter_context(actor.me)
        for role, play in PLAYS.items():
            thread = threading.Thread(target=self._play, args=(role, play), name=role.name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """All say goodbye; returns when they have."""
        self.stop.set()
        for thread in self._threads:
            thread.join()
        self._there.close()

    def _play(self, role: Role, play: Play) -> None:
        """One agent with its sub-agents, until the fleet is stopped."""
        actor = self.actors[role]
        try:
            while True:
                try:
                    play(actor, self.actors)
                except ProviderError:  # the task has told it
                    actor.pause(2)
        except Cancelled:
            return


Play = Callable[[Actor, dict[Role, Actor]], None]


def _helpdesk(self: Actor, others: dict[Role, Actor]) -> None:
    waiting = self.dice.randint(0, 6)
    self.me.queue(waiting, oldest_age=waiting * 4.0)
    with self.me.task("answer_question") as task:
        question = self.dice.randint(1, 10**6)
        self.ask(self.pick(), 900, 60)
        found = _kb_search(others[KB_SEARCH], question)
        if not found and self.happens(0.5):
            task.done("handed_over")
            return
        self.ask(self.pick(), 1800, 90)
        _reply_writer(others[REPLY_WRITER])
        self.use("send_reply", {"question": question}, 0.2)
        task.evaluation("resolved", label="yes" if self.happens(0.85) else "no")
    self.pause(self.dice.uniform(3, 12))


def _kb_search(self: Actor, question: int) -> bool:
    with self.me.task("search"):
        good = False
        for page in range(self.dice.randint(1, 3)):
            good = self.use("vector_search", {"question": question, "page": page}, 0.3) or good
        self.ask(self.pick(), 4000, 120)
        return good


def _reply_writer(self: Actor) -> None:
    with self.me.task("write") as task:
        model = self.pick()
        self.ask(model, 2500, 350)
        # The dearer model writes the better replies, a little.
        better = 0.08 if model.first > BY_NAME["gpt-4o"].first else 0.0
        score = min(1.0, max(0.0, self.dice.gauss(0.78 + better, 0.12)))
        task.evaluation("groundedness", score, model=model.answered, provider=model.provider)


def _coder(self: Actor, others: dict[Role, Actor]) -> None:
    with self.me.task("write_change") as task:
        change, model = self.dice.randint(1, 10**6), self.pick()
        for attempt in range(1, 5):
            self.ask(model, 6000 + 1500 * attempt, 700)
            self.use("edit_file", {"change": change, "attempt": attempt}, 0.3)
            if self.use("run_tests", {"change": change, "attempt": attempt}, 1.0, _OFTEN_FAILS):
                break
        else:
            task.fail("max_turns")
            return
        score = _reviewer(others[REVIEWER])
        task.evaluation(
            "review", score, "pass" if score >= 0.6 else "fail", model=model.answered, provider=model.provider
        )
        self.use("open_pull_request", {"change": change}, 0.4)
    self.pause(self.dice.uniform(5, 25))


def _reviewer(self: Actor) -> float:
    with self.me.task("review"):
        self.use("read_diff", {"diff": self.dice.randint(1, 10**6)}, 0.2)
        self.ask(self.pick(), 5000, 250)
        return min(1.0, max(0.0, self.dice.gauss(0.75, 0.15)))


def _escalation(self: Actor, others: dict[Role, Actor]) -> None:  # noqa: ARG001 - a play's shape
    with self.me.task("escalate") as task:
        self.ask(self.pick(), 1200, 150)
        self.use("page_expert", {"case": self.dice.randint(1, 10**6)}, 0.2)
        with self.me.state("waiting_human"):
            self.pause(self.dice.uniform(120, 600))
        self.ask(self.pick(), 1500, 100)
        task.done("answered_by_person")


def _test_fixer(self: Actor, others: dict[Role, Actor]) -> None:  # noqa: ARG001 - a play's shape
    with self.me.task("fix_test") as task:
        same = {"test": f"test_{self.dice.randint(1, 50)}"}
        for _ in range(self.dice.randint(14, 24)):
            self.ask(self.pick(), 3000, 80)
            self.use("run_tests", same, 0.3, failing=1.0)
        task.fail("max_turns")
    self.pause(self.dice.uniform(10, 30))


def _deployer(self: Actor, others: dict[Role, Actor]) -> None:  # noqa: ARG001 - a play's shape
    for _ in range(self.dice.randint(2, 4)):
        with self.me.task("deploy"):
            release = self.dice.randint(1, 10**6)
            self.ask(self.pick(), 800, 100)
            self.use("build_image", {"release": release}, 1.0)
            self.use("roll_out", {"release": release}, 2.0)
        self.pause(5)
    with self.me.task("deploy"):
        self.ask(self.pick(), 800, 100)
        # It waits for a lock that nobody gives back, and has not thought of a time-out.
        self.use("roll_out", {"release": self.dice.randint(1, 10**6)}, 86_400.0)


PLAYS: Final[dict[Role, Play]] = {
    HELPDESK: _helpdesk,
    ESCALATION: _escalation,
    CODER: _coder,
    TEST_FIXER: _test_fixer,
    DEPLOYER: _deployer,
}
