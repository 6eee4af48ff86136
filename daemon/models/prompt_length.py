"""How much of a prompt a pipeline's text encoders read.

Comes in: a pipeline of diffusers and a prompt. Goes out: a note where part of the prompt goes
unread, which the pipelines themselves keep to their log. Changes no prompt.
"""

import inspect
from collections.abc import Iterator
from typing import Any

_SHOWN = 60
"""Letters of the part that went unread."""

_ENDLESS = 100_000
"""Tokenizers that know no limit say a larger one."""


def unread(pipeline: Any, text: str) -> tuple[str, ...]:  # noqa: ANN401  diffusers is untyped
    """Say what of a prompt no text encoder reads.

    Where there are several, the one that reads most counts: the others give its gist only.

    Args:
        pipeline: With tokenizers, named like their text encoders.
        text: The prompt.

    Returns:
        One note, or none if all is read.
    """
    cuts = [_cut(tokenizer, limit, text) for tokenizer, limit in _readers(pipeline)]
    known = [cut for cut in cuts if cut is not None]
    if not text or not known or len(known) < len(cuts):
        return ()
    longest, count, rest = max(known)
    what = rest if len(rest) <= _SHOWN else f"{rest[:_SHOWN]}…"
    return (
        f"the prompt has {count} tokens, of which the model reads {longest}: {what!r} at its end "
        "went unread; make it shorter",
    )


def _readers(pipeline: Any) -> Iterator[tuple[Any, int]]:  # noqa: ANN401
    """The tokenizers whose text encoders are there, with the tokens that each passes on."""
    asked = inspect.signature(type(pipeline).__call__).parameters.get("max_sequence_length")
    for name, tokenizer in pipeline.components.items():
        encoder = pipeline.components.get(name.replace("tokenizer", "text_encoder"))
        if name.startswith("tokenizer") and tokenizer is not None and encoder is not None:
            limit = int(tokenizer.model_max_length)
            if asked is not None and "CLIP" not in type(tokenizer).__name__:
                limit = min(limit, int(asked.default))
            yield tokenizer, limit


def _cut(tokenizer: Any, limit: int, text: str) -> tuple[int, int, str] | None:  # noqa: ANN401
    """The limit, how many tokens there are and what lies beyond; None if that is nothing."""
    if limit > _ENDLESS:
        return None
    tokens = tokenizer(text, truncation=False)["input_ids"]
    if len(tokens) <= limit:
        return None
    # The last token that is read ends the prompt and is none of its words.
    rest = tokenizer.decode(tokens[limit - 1 :], skip_special_tokens=True).strip()
    return limit, len(tokens), rest
