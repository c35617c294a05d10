"""What verbs do to the secrets of a key, under the organization's lock."""

from datetime import datetime, timedelta

from django.utils import timezone

from apikeys.models import ApiKey, KeySecret
from apikeys.plaintext import locator_of, new_plaintext, signing_digest
from web.input.moments import whole_second


def add_secret(api_key: ApiKey, *, issued_by: KeySecret | None = None) -> tuple[KeySecret, str]:
    """Store a new secret for `api_key`; return it and its plaintext."""
    plaintext = new_plaintext(livemode=api_key.livemode)
    pepper_id, digest = signing_digest(plaintext)
    secret = KeySecret.objects.create(
        api_key=api_key,
        locator=locator_of(plaintext),
        digest=digest,
        pepper_id=pepper_id,
        last_four=plaintext[-4:],
        issued_by=issued_by,
    )
    return secret, plaintext


def end_secret(secret: KeySecret) -> None:
    """Stop a secret at once and for good."""
    secret.ended_at = timezone.now()
    secret.save(update_fields=["ended_at"])


def rotate_out(
    secret: KeySecret, overlap: timedelta, *, at_the_latest: datetime | None
) -> datetime:
    """Let an old secret live on for `overlap`, and return when it ends: at a whole second.

    It never outlives `at_the_latest`, its key's end, nor an end of its own that is earlier.
    """
    now = timezone.now()
    if not overlap:
        end_secret(secret)
        return now
    # At the second that clients see, not a fraction later.
    ends = [whole_second(now + overlap), at_the_latest, secret.expires_at]
    secret.expires_at = min(end for end in ends if end is not None)
    secret.save(update_fields=["expires_at"])
    return secret.expires_at
