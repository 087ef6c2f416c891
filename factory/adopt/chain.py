"""A shell text as the parts that are joined by ``&&`` or ``;``, each as it is written."""

import re

_COMPOUND = re.compile(r"(?:if|for|while|until|case|select|function)\b|[({]")


def split_chain(text: str) -> tuple[str, ...] | None:
    """The parts of a plain chain of commands; None where the text is more than one.

    Only such a text can lose a part and keep its meaning: no loops, conditions, groups, ``||``,
    background jobs or here-documents.
    """
    parts: list[str] = []
    start = position = depth = 0
    quote = ""
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif depth == 0 and (end := _separator(text, position)) is not None:
            if end < 0:
                return None
            parts.append(text[start:position].strip())
            start = position = end
            continue
        position += 1
    parts.append(text[start:].strip())
    found = tuple(part for part in parts if part)
    return None if quote or depth or any(_COMPOUND.match(part) for part in found) else found


def _separator(text: str, position: int) -> int | None:
    """The end of the separator that stands here; None without one, negative where it is another operator."""
    if text.startswith("&&", position):
        return position + 2
    if text[position] == ";":
        return -1 if text.startswith(";;", position) else position + 1
    if text.startswith("||", position):
        return -1
    is_redirection = text[position - 1 : position] in {">", "<"} or text[position + 1 : position + 2] == ">"
    return -1 if text[position] == "&" and not is_redirection else None
