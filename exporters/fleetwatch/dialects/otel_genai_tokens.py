"""Token counts of the GenAI conventions, where parts are inside their whole, as kinds that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetwatch.records.llm import Tokens


class Parts(NamedTuple):
    """Token counts as the conventions tell them: input and output include all the others.

    cached_audio and cached_image are in cache_read and in audio_in or image; cache_write_long is in cache_write.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    cache_write_long: int = 0


def tokens_of(counts: Sequence[int]) -> Tokens:
    """The kinds of `counts`, in the order of Parts, without overlap.

    Parts that exceed their whole stay, and the rest of the whole is 0. Image tokens of the output stay in output:
    models that draw price their output as such.
    """
    whole_in, whole_out, cache_read, cache_write, reasoning, audio_in, audio_out, image, *cached, write_long = counts
    if audio_in or image:
        audio_in, image = max(0, audio_in - cached[0]), max(0, image - cached[1])
    rest_in, rest_out = whole_in - cache_read - cache_write - audio_in - image, whole_out - reasoning - audio_out
    return Tokens(
        rest_in if rest_in > 0 else 0,  # noqa: FURB136 - max() takes four times as long, on every span with a cache
        cache_read,
        cache_write,
        rest_out if rest_out > 0 else 0,  # noqa: FURB136 - as above
        reasoning,
        audio_in,
        audio_out,
        image,
        write_long if write_long < cache_write else cache_write,  # noqa: FURB136 - as above
    )
