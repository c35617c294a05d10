"""Rotate a key: give it a new secret, and let the old one live on for a while."""

from datetime import timedelta
from typing import Any, Final

from apikeys.models import ApiKey
from apikeys.verbs.ceiling import ActingKey
from apikeys.verbs.rules import as_shown, read_active
from apikeys.verbs.secrets import add_secret, end_secret, rotate_out
from audit.actor import Actor
from audit.models import AuditLog
from web.errors.refusals import ParameterInvalid
from web.input.moments import format_moment
from web.input.text import clean_reason

LONGEST_OVERLAP: Final = timedelta(days=7)


def rotate(api_key: ApiKey, *, actor: Actor, overlap: timedelta, reason: str = "") -> str:
    """Give a key a new secret and return its plaintext. The old secret lives on for `overlap`, but
    never beyond an end that it has already, nor the key's.

    If a rotation is open and its new secret was never used, that one is replaced, so that a
    rotation can be repeated. If it was used, it is rotated out and the older one ends now: there
    are never more than two. An acting key that rotates another must have no limits of its own, and
    one that rotates itself a secret that is not being rotated out.

    Raises `key_not_active`, ExceedsCaller, and ParameterInvalid for an overlap below zero or above
    LONGEST_OVERLAP.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        most = int(LONGEST_OVERLAP.total_seconds())
        message = f"overlap_seconds must be from 0 to {most}."
        raise ParameterInvalid(message, field="overlap_seconds")
    reason = clean_reason(reason, required=False)
    with AuditLog.of(api_key.organization_id) as audit:
        acting = ActingKey.of(actor)
        if acting:
            acting.require_rotating(api_key)
        read_active(api_key)
        newest, older = api_key.newest_and_retiring(lock=True)
        was_open = older is not None and older.is_live
        if was_open and (newest is None or newest.last_used_at is None):
            retired, ended = older, newest
        else:
            retired, ended = newest, older
        if ended is not None:  # Though it may have run out: there is room for one only.
            end_secret(ended)
        changes: dict[str, tuple[Any, Any]] = {}
        if retired is not None:
            before = as_shown(retired.expires_at)
            end = rotate_out(retired, overlap, at_the_latest=api_key.expires_at)
            changes["old_secret_ends"] = (before, format_moment(end))
        secret, plaintext = add_secret(api_key, issued_by=acting.secret if acting else None)
        changes["secret"] = (retired and retired.locator, secret.locator)
        if ended is not None and was_open:
            changes["ended_secret"] = (ended.locator, None)
        audit.record("api_key.rotated", api_key, actor=actor, reason=reason, changes=changes)
    return plaintext


def finish_rotation(api_key: ApiKey, *, actor: Actor, reason: str = "") -> bool:
    """End the secret that is being rotated out now. Return False if no rotation is open.

    Raises `key_not_active`, ExceedsCaller.
    """
    reason = clean_reason(reason, required=False)
    with AuditLog.of(api_key.organization_id) as audit:
        if acting := ActingKey.of(actor):
            acting.require_control(api_key)
        read_active(api_key)
        _, old = api_key.newest_and_retiring()
        if old is None or not old.is_live:
            return False
        end_secret(old)
        changes = {"ended_secret": (old.locator, None)}
        done = "api_key.rotation_finished"
        audit.record(done, api_key, actor=actor, reason=reason, changes=changes)
    return True
