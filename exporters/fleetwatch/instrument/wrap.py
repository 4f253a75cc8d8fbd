"""Functions, coroutines and generators in a span each time they are called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, Protocol, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Block(Protocol):
    """A span that can be entered piece by piece."""

    def begin(self) -> None: ...
    def attach(self) -> None: ...
    def detach(self) -> None: ...
    def end(self, error: BaseException | None) -> None: ...


def named(function: Callable[..., Any]) -> str:
    """What a function is called; a partial one and other callables have no name of their own."""
    return str(getattr(function, "__name__", "") or type(function).__name__)


def wrap(function: F, make: Callable[[Mapping[str, Any]], Block]) -> F:
    """`function` with a block of its own around each call. make: gets the arguments by name."""
    by_name = _names(function)
    if inspect.isasyncgenfunction(function):
        return cast("F", _async_generator(function, make, by_name))
    if inspect.isgeneratorfunction(function):
        return cast("F", _generator(function, make, by_name))
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            block = make(by_name(args, kwargs))
            _enter(block)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                _leave(block, error)
                raise
            _returned(block, result)
            _leave(block, None)
            return result

        return cast("F", coroutine)

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        block = make(by_name(args, kwargs))
        _enter(block)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            _leave(block, error)
            raise
        _returned(block, result)
        _leave(block, None)
        return result

    return cast("F", plain)


def _enter(block: Block) -> None:
    block.begin()
    block.attach()


def _leave(block: Block, error: BaseException | None) -> None:
    block.detach()
    block.end(error)


def _returned(block: Block, result: Any) -> None:
    take = getattr(block, "result", None)
    if take is not None:
        take(result)


def _names(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], Mapping[str, Any]]:
    """Arguments by the function's own names, without `self`. Binding by `inspect` would take 10 us a call."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = [item.name for item in inspect.signature(function).parameters.values() if item.kind in positional]
    except (ValueError, TypeError):
        parameters = []
    skipped = 1 if parameters[:1] in (["self"], ["cls"]) else 0

    def by_name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        found = dict(zip(parameters[skipped:], args[skipped:], strict=False))
        rest = args[max(skipped, len(parameters)) :]
        return {**found, **({"*": list(rest)} if rest else {}), **kwargs}

    return by_name


def _generator(
    function: Callable[..., Generator[Any, Any, Any]],
    make: Callable[[Mapping[str, Any]], Block],
    by_name: Callable[[tuple[Any, ...], dict[str, Any]], Mapping[str, Any]],
) -> Callable[..., Generator[Any, Any, Any]]:
    """The block is entered for each piece only: between two pieces runs whoever asked for them."""

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner = function(*args, **kwargs)
        block = make(by_name(args, kwargs))
        block.begin()
        step: Callable[[], Any] = functools.partial(next, inner)
        try:
            while True:
                block.attach()
                try:
                    item = step()
                finally:
                    block.detach()
                try:
                    sent = yield item
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as error:
                    step = functools.partial(inner.throw, error)
                else:
                    step = functools.partial(inner.send, sent)
        except StopIteration as stop:
            block.end(None)
            return stop.value
        except BaseException as error:
            block.end(error)
            raise

    return generator


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]],
    make: Callable[[Mapping[str, Any]], Block],
    by_name: Callable[[tuple[Any, ...], dict[str, Any]], Mapping[str, Any]],
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(function)
    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = function(*args, **kwargs)
        block = make(by_name(args, kwargs))
        block.begin()
        step: Callable[[], Any] = functools.partial(anext, inner)
        try:
            while True:
                block.attach()
                try:
                    item = await step()
                finally:
                    block.detach()
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:
                    step = functools.partial(inner.athrow, error)
                else:
                    step = functools.partial(inner.asend, sent)
        except StopAsyncIteration:
            block.end(None)
        except BaseException as error:
            block.end(error)
            raise

    return generator
