"""A key's whole life with the client that openapi-python-client makes."""

import os

from client_of_openapi_python_client import AuthenticatedClient
from client_of_openapi_python_client.api.api_keys import (
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from client_of_openapi_python_client.api.authentication import get_auth_context
from client_of_openapi_python_client.api.events import list_key_events
from client_of_openapi_python_client.models import ApiKeyCreate, ListKeysStatus, RotationRequest

URL, KEY, STUB = (os.environ[name] for name in ("URL", "KEY", "STUB"))


def calling(key, url=URL):
    return AuthenticatedClient(base_url=url, token=key)


made = create_key.sync(
    client=calling(KEY), body=ApiKeyCreate(name="Generated", scopes=["tests:read"])
)
me = get_auth_context.sync(client=calling(made.key))
assert me.key_id == made.id, me
listed = list_keys.sync(client=calling(KEY), status=ListKeysStatus.ACTIVE, limit=2)
assert [key.id for key in listed.data] == [made.id, listed.data[1].id], listed
rotated = rotate_key.sync(made.id, client=calling(KEY), body=RotationRequest(overlap_seconds=0))
assert rotated.key != made.key, "rotated"
log = list_key_events.sync(made.id, client=calling(KEY))
assert [event.action for event in log.data] == ["api_key.rotated", "api_key.issued"], log
revoked = revoke_key.sync(made.id, client=calling(KEY), reason="leaked")
assert (revoked.status, revoked.revoked_reason) == ("revoked", "leaked"), revoked
refused = get_auth_context.sync(client=calling(rotated.key))
assert refused.error.code == "api_key_invalid", refused

strange = get_auth_context.sync(client=calling(KEY, STUB))
assert strange.error.code == "code_of_tomorrow", strange
(key,) = list_keys.sync(client=calling(KEY, STUB)).data
assert key.status == "hibernating", key
