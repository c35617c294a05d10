"""Parser of environment files, for `manage.py --env-file FILE COMMAND`.

It follows systemd's EnvironmentFile=. A shell would end a value at `&` and expand `$`.
"""

import re
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

_QUOTED: Final = r"""'[^']*'|"(?:\\.|[^"\\])*\""""
# A blank line, a comment, or NAME=value: quoted parts, then a bare part. A # in the bare part
# belongs to the value.
_LINE: Final = re.compile(
    rf"""[ \t]*
    (?: [#;][^\n]*
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*) [ \t]*=[ \t]*
        (?P<quoted> (?: (?:{_QUOTED}) [ \t]* )* )
        (?P<bare> (?!['"]) (?:\\.|[^\\\n])*? )
    )?
    [ \t]*(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)


def read_env_file(file: str) -> dict[str, str]:
    """Return the variables that `file` sets; of two with the same name, the last one counts."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ImproperlyConfigured(f"--env-file {file} cannot be read: {reason}.") from None
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        line = _LINE.match(text, position)
        if line is None:
            number = text.count("\n", 0, position) + 1
            raise ImproperlyConfigured(f"Line {number} of {file} does not read NAME=value.")
        if line["name"]:
            found[line["name"]] = _value(line["quoted"], line["bare"])
        position = line.end()
    return found


def _value(quoted: str, bare: str) -> str:
    parts = [
        part[1:-1] if part[0] == "'" else re.sub(r"\\([\"\\`$\n])", _kept, part[1:-1])
        for part in re.findall(_QUOTED, quoted, re.DOTALL)
    ]
    return "".join([*parts, re.sub(r"\\(.)", _kept, bare, flags=re.DOTALL)])


def _kept(escape: re.Match[str]) -> str:
    """Return the escaped character, or nothing for an escaped line end."""
    return "" if escape[1] == "\n" else escape[1]
