"""Tests of weak secrets: production refuses guessable secrets and one used for two purposes."""

import secrets

import pytest
from django.core.exceptions import ImproperlyConfigured

from reachscore.weak_secrets import refuse_weak_secrets
from tests.server.test_settings import PRODUCTION, SHOW, python

A, B, C, D, E = (secrets.token_urlsafe(48) for _ in range(5))
GOOD = {"SECRET_KEY": A, "API_KEY_PEPPERS": f"2:{B},1:{D}", "AUDIT_KEYS": f"1:{C}"}
GOOD["ENCRYPTION_KEYS"] = f"1:{E}"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"SECRET_KEY": f"django-insecure-{A}"}, "in SECRET_KEY is too short, or easy"),
        ({"SECRET_KEY": f"{A}-ChangeMe"}, "in SECRET_KEY is too short, or easy"),
        ({"SECRET_KEY": A[:49]}, "in SECRET_KEY is too short, or easy"),
        ({"SECRET_KEY": ""}, "in SECRET_KEY is too short, or easy"),
        ({"API_KEY_PEPPERS": f"2:{B},1:secret{D}"}, "in API_KEY_PEPPERS is too short, or easy"),
        ({"AUDIT_KEYS": f"1:{C}password"}, "in AUDIT_KEYS is too short, or easy"),
        ({"GATEWAY_TOKEN": f"{D[:32]},example{D}"}, "in GATEWAY_TOKEN is too short, or easy"),
        ({"API_KEY_PEPPERS": f"2:{A}"}, "in API_KEY_PEPPERS and SECRET_KEY;"),
        ({"AUDIT_KEYS": f"7:{D}="}, "in API_KEY_PEPPERS and AUDIT_KEYS;"),
        ({"API_KEY_PEPPERS": f"2:{B}, 1:{B}"}, "twice in API_KEY_PEPPERS;"),
        ({"ENCRYPTION_KEYS": f"1:{C}"}, "in AUDIT_KEYS and ENCRYPTION_KEYS;"),
        ({"GATEWAY_TOKEN": C}, "in AUDIT_KEYS and GATEWAY_TOKEN;"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # The values are random.
)
def test_weak_or_shared_secret_is_refused_and_named_but_not_shown(changed, named):
    with pytest.raises(ImproperlyConfigured) as caught:
        refuse_weak_secrets(GOOD | changed)
    assert named in str(caught.value)
    assert not any(secret[:20] in str(caught.value) for secret in (A, B, C, D))


def test_secrets_made_as_the_readme_says_are_accepted():
    refuse_weak_secrets(GOOD)
    refuse_weak_secrets({**GOOD, "GATEWAY_TOKEN": f"{secrets.token_urlsafe(32)},{B[::-1]}"})


def test_production_refuses_weak_secrets_and_development_accepts_them():
    weak = {**PRODUCTION, "SECRET_KEY": f"django-insecure-{A}"}
    done = python(SHOW, **weak)
    assert done.returncode != 0
    assert "A secret in SECRET_KEY is too short, or easy to guess" in done.stderr.splitlines()[-1]
    assert A not in done.stderr
    assert python(SHOW, **weak, DEBUG="true").returncode == 0
    assert python(SHOW, **PRODUCTION).returncode == 0
