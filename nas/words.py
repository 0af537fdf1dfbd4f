"""Words that messages of several rooms have."""


def counted(n: int, noun: str) -> str:
    """`1 network`, `2 networks`; `noun` forms its plural with an s."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
