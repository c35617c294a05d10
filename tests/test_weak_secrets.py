"""Production does not start on secrets that anybody could guess, nor on one used for two things."""

import base64
import secrets

import pytest
from django.core.exceptions import ImproperlyConfigured

from reachscore.weak_secrets import is_weak, refuse_weak_secrets
from tests.test_settings import PRODUCTION, SHOW, python

SECRET_KEY = secrets.token_urlsafe(48)
RANDOM = secrets.token_bytes(32)


@pytest.mark.parametrize(
    "weak",
    [
        f"django-insecure-{secrets.token_urlsafe(48)}",
        f"changeme-{secrets.token_urlsafe(48)}",
        f"{secrets.token_urlsafe(48)}-Change_Me",
        f"my-secret-key-{secrets.token_urlsafe(48)}",
        "x" * 64,
        "ab" * 32,
        "0123456789" * 6,
        "abcdefghijklmnopqrstuvwxyz" * 2,
        f"{SECRET_KEY[:30]}" * 2,
        f"{SECRET_KEY[:30]}" * 2 + SECRET_KEY[:5],
        SECRET_KEY[:49],
        "",
    ],
    ids=lambda value: f"{len(value)} long",  # The values are random.
)
def test_a_weak_secret_key_is_refused_without_showing_it(weak):
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is too short, or easy") as caught:
        refuse_weak_secrets(weak)
    assert not weak or weak[-20:] not in str(caught.value)


@pytest.mark.parametrize(
    "weak",
    [
        bytes(32),
        bytes(range(32)),
        bytes(range(0, 256, 5)),
        b"\x00\xff" * 16,
        RANDOM[:16] * 2,
        b"changeme, changeme, and then changeme",
        b"this-is-my-super-secret-pepper-0001",
        base64.urlsafe_b64decode("changeme" + base64.urlsafe_b64encode(RANDOM).decode()),
    ],
    ids=lambda value: f"{len(value)} long",  # The values are random.
)
def test_a_weak_pepper_or_audit_key_is_refused(weak):
    for name in ("API_KEY_PEPPERS", "AUDIT_KEYS"):
        with pytest.raises(ImproperlyConfigured, match=f"A secret in {name} is too short, or easy"):
            refuse_weak_secrets(SECRET_KEY, **{name: {1: RANDOM, 2: weak}})


def test_a_secret_used_for_two_things_is_refused_and_both_are_named():
    text = base64.urlsafe_b64encode(RANDOM).decode()
    other = secrets.token_bytes(32)
    for secret_key, peppers, audit_keys, named in [
        (SECRET_KEY, {1: RANDOM}, {1: RANDOM}, "API_KEY_PEPPERS and AUDIT_KEYS"),
        (SECRET_KEY, {1: other, 2: RANDOM}, {7: RANDOM}, "API_KEY_PEPPERS and AUDIT_KEYS"),
        (SECRET_KEY, {1: RANDOM, 2: RANDOM}, {1: other}, "twice in API_KEY_PEPPERS;"),
        (text + "and-then-some", {1: RANDOM}, {1: other}, "SECRET_KEY and API_KEY_PEPPERS"),
        (f"1:{text}and-more-of", {1: other}, {1: RANDOM}, "SECRET_KEY and AUDIT_KEYS"),
        (SECRET_KEY, {1: SECRET_KEY.encode()}, {1: other}, "SECRET_KEY and API_KEY_PEPPERS"),
        (SECRET_KEY, {1: base64.urlsafe_b64decode(SECRET_KEY)}, {1: other}, "SECRET_KEY and API"),
    ]:
        with pytest.raises(ImproperlyConfigured) as caught:
            refuse_weak_secrets(secret_key, API_KEY_PEPPERS=peppers, AUDIT_KEYS=audit_keys)
        assert named in str(caught.value)
        assert text not in str(caught.value)


def test_what_the_readme_makes_is_never_refused():
    for _ in range(500):
        refuse_weak_secrets(
            secrets.token_urlsafe(48),
            API_KEY_PEPPERS={1: secrets.token_bytes(32), 2: secrets.token_bytes(32)},
            AUDIT_KEYS={1: secrets.token_bytes(32)},
        )
        assert not is_weak(secrets.token_hex(25).encode())


def test_production_refuses_them_and_development_may_have_them():
    weak = {**PRODUCTION, "SECRET_KEY": f"django-insecure-{SECRET_KEY}"}
    done = python(SHOW, **weak)
    assert done.returncode != 0
    assert "A secret in SECRET_KEY is too short, or easy to guess" in done.stderr.splitlines()[-1]
    assert SECRET_KEY not in done.stderr
    assert python(SHOW, **weak, DEBUG="true").returncode == 0
    assert python(SHOW, **PRODUCTION).returncode == 0
