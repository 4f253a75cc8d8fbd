"""Which models are in use, what they take and how they are asked."""

from __future__ import annotations

import pytest

from fleetwatch.app.models import IN_USE, MOST, Models
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.reckon.price import PriceBook
from support_llm import call


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def models(meter: Meter, clock: Clock) -> Models:
    return Models(meter, PriceBook(models={"my-gpt": "openai/gpt-4o"}), clock)


def shown(meter: Meter, models: Models) -> list[str]:
    models.show()
    text = exposition(meter, openmetrics=False)
    return [line for line in text.splitlines() if line.startswith("llm_model_")]


def test_a_model_shows_its_context_window_where_the_price_table_knows_it(meter: Meter, models: Models) -> None:
    models.use("openai", "gpt-4o")
    models.use("openai", "my-gpt")
    models.use("openai", "gpt-4o-of-our-own")
    assert shown(meter, models) == [
        'llm_model_info{provider="openai",model="gpt-4o",context_window="128000"} 1',
        'llm_model_info{provider="openai",model="gpt-4o-of-our-own",context_window=""} 1',
        'llm_model_info{provider="openai",model="my-gpt",context_window="128000"} 1',
    ]


def test_the_temperature_is_the_last_one_that_a_call_asked_for(meter: Meter, models: Models) -> None:
    models.use("openai", "gpt-4o")
    models.take([call(temperature=1.0), call(temperature=0.0), call(), call(temperature=0.9, outcome="error")])
    assert 'llm_model_temperature{provider="openai",model="gpt-4o"} 0.0' in shown(meter, models)
    assert len(shown(meter, models)) == 2


def test_a_model_that_nobody_asks_any_more_is_gone(meter: Meter, models: Models, clock: Clock) -> None:
    models.use("openai", "gpt-4o")
    models.use("openai", "old", clock.now - IN_USE - 1)
    models.take([call(temperature=1.0)])
    assert len(shown(meter, models)) == 2
    clock.now += IN_USE + 1
    assert shown(meter, models) == []
    models.use("openai", "gpt-4o")
    assert len(shown(meter, models)) == 1, "with no temperature of last week"


def test_names_made_up_without_end_take_memory_with_an_end(meter: Meter, models: Models) -> None:
    for number in range(3 * MOST):
        models.use("openai", f"m{number}")
        models.take([call(model=f"m{number}", temperature=1.0)])
    models.show()
    assert (len(models._used), len(models._temperatures) <= 2 * MOST) == (MOST, True)
