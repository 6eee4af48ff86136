"""How much of a prompt the text encoders of a pipeline read.

diffusers cuts a prompt at the limit of its tokenizer and says so only in its log; here that becomes
a note for the record. No prompt is changed.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from daemon.photo.notes import Note, NoteKind

_SHOWN_CHARACTERS = 60
"""Characters of the unread part that a note quotes."""

_NO_LIMIT = 100_000
"""Tokens; a tokenizer without a limit states a larger one."""


def truncation_notes(pipeline: Any, prompt: str) -> tuple[str, ...]:  # noqa: ANN401  diffusers is untyped
    """Say which part of a prompt no text encoder reads.

    Where there are several text encoders, the one that reads most counts: the others give the gist.

    Args:
        pipeline: A diffusers pipeline; each "tokenizer*" component has a "text_encoder*".
        prompt: The prompt.

    Returns:
        One note, or none if all is read.
    """
    cuts = [_cut(tokenizer, limit, prompt) for tokenizer, limit in _tokenizers(pipeline)]
    truncated = [cut for cut in cuts if cut is not None]
    if not prompt or not truncated or len(truncated) < len(cuts):
        return ()
    limit, count, unread = max(truncated)
    quoted = unread if len(unread) <= _SHOWN_CHARACTERS else f"{unread[:_SHOWN_CHARACTERS]}…"
    said = (
        f"the prompt has {count} tokens, of which the model reads {limit}: {quoted!r} at its end "
        "went unread; make it shorter"
    )
    return (Note(NoteKind.PROMPT, said),)


def _tokenizers(pipeline: Any) -> Iterator[tuple[Any, int]]:  # noqa: ANN401
    """The tokenizers that have a text encoder, with the tokens that each passes on to it."""
    parameters = inspect.signature(type(pipeline).__call__).parameters
    argument = parameters.get("max_sequence_length")
    for name, tokenizer in pipeline.components.items():
        encoder = pipeline.components.get(name.replace("tokenizer", "text_encoder"))
        if name.startswith("tokenizer") and tokenizer is not None and encoder is not None:
            limit = int(tokenizer.model_max_length)
            if argument is not None and "CLIP" not in type(tokenizer).__name__:
                limit = min(limit, int(argument.default))
            yield tokenizer, limit


def _cut(tokenizer: Any, limit: int, prompt: str) -> tuple[int, int, str] | None:  # noqa: ANN401
    """The limit, the count of tokens and the text beyond the limit; None if all is read."""
    if limit > _NO_LIMIT:
        return None
    tokens = tokenizer(prompt, truncation=False)["input_ids"]
    if len(tokens) <= limit:
        return None
    # The last token that is read marks the end of the prompt and is none of its words.
    unread = tokenizer.decode(tokens[limit - 1 :], skip_special_tokens=True).strip()
    return limit, len(tokens), unread
