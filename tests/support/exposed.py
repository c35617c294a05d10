"""Ten files with exposed keys, and texts that only look like a key: for scanners and rules."""

from typing import Final

from apikeys.plaintext import new_plaintext

# A line of each, in which {key} stands for a key and {n} for a number.
CONTEXTS: Final = {
    "settings.env": "REACHSCORE_KEY_{n}={key}",
    "values.yaml": "key_{n}: {key}",
    "answers.json": '{{"id": {n}, "key": "{key}"}}',
    "call.sh": 'curl -H "Authorization: Bearer {key}" https://api.example/{n}',
    "client.py": 'client_{n} = Client("{key}")',
    "config.js": "const key{n} = '{key}';",
    "config.xml": '<key n="{n}">{key}</key>',
    "links.txt": "https://proxy.example/?key={key}&page={n}",
    "notes.md": "We call number {n} with {key}.",
    "table.csv": "{n},{key},2026-11-26",
}
# A letter stands in front of the key: of a color, or of a line's end.
GLUED: Final = (r'{{"log": "\u001b[32m{key}\u001b[0m"}}', r'"A={n}\n{key}\n"')


def near_misses() -> list[str]:
    """Return what no rule may take for one of our keys."""
    key = new_plaintext(livemode=True)
    return [
        *(key[:-1], key + "a", key[:8] + key[9:], key[:20] + "-" + key[21:], key.upper()),
        *(key.replace("live", "prod"), key.replace("rk_", "sk_")),
        *(f"{prefix}_live_{'a1B2' * 6}" for prefix in ("rk", "sk")),  # Stripe's own.
    ]
