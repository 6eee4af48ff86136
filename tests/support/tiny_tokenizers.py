"""Tokenizers of a few words, from vocabularies that are written here: nothing is downloaded."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import transformers

_START, _END = "<|startoftext|>", "<|endoftext|>"
_CLIP_WORDS = ("photo", "graph", "old", "blue", "red", "the", "cat", "of")
_T5_WORDS = ("a", "photo", "of", "the", "cat", "red", "blue", "old")


def clip_tokenizer(folder: Path) -> object:
    """A CLIP tokenizer of bytes and a few words, from files written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate(clip_vocabulary())}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "\n".join(f"{left} {right}" for left, right in _clip_merges())
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    tokenizer: object = transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)
    return tokenizer


def t5_tokenizer() -> object:
    tokenizer: Callable[..., object] = transformers.T5Tokenizer
    return tokenizer(vocab=t5_words(), extra_ids=0, model_max_length=512)


def qwen_tokenizer(more: Sequence[str] = ()) -> Any:  # noqa: ANN401  transformers is untyped
    """A tokenizer of letters, with Qwen's special tokens and some more."""
    vocabulary = {letter: number for number, letter in enumerate(qwen_letters())}
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *more)
    for token in special:
        vocabulary[token] = len(vocabulary)
    tokenizer: Any = transformers.Qwen2Tokenizer(
        vocab=vocabulary, merges=[], additional_special_tokens=list(special)
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
    )
    return tokenizer


def clip_vocabulary() -> list[str]:
    letters = _clip_letters()
    merged = [left + right for left, right in _clip_merges()]
    return [*letters, *(f"{letter}</w>" for letter in letters), *merged, _START, _END]


def _clip_letters() -> list[str]:
    """The bytes as CLIP's tokenizer writes them: printable ones as they are, others moved up."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = (chr(256 + number) for number in range(256 - len(printable)))
    return [chr(byte) if byte in printable else next(moved) for byte in range(256)]


def _clip_merges() -> list[tuple[str, str]]:
    """How the words are put together, letter by letter."""
    found: dict[tuple[str, str], None] = {}
    for word in _CLIP_WORDS:
        left = word[0]
        for place, letter in enumerate(word[1:], start=2):
            right = letter + "</w>" * (place == len(word))
            found[left, right] = None
            left += right
    return list(found)


def t5_words() -> list[tuple[str, float]]:
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return [*special, *letters, *((f"▁{word}", -3.0) for word in _T5_WORDS)]


def qwen_letters() -> list[str]:
    return [chr(number) for number in range(33, 127)] + ["Ġ", "Ċ"]
