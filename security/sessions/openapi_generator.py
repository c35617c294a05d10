"""A key's whole life with the client that openapi-generator makes for Python."""

import os

from client_of_openapi_generator import (
    ApiClient,
    ApiException,
    ApiKeyCreate,
    APIKeysApi,
    AuthenticationApi,
    Configuration,
    EventsApi,
    RotationRequest,
)

URL, KEY, STUB = (os.environ[name] for name in ("URL", "KEY", "STUB"))


def calling(key, url=URL):
    return ApiClient(Configuration(host=url, access_token=key))


def refusal(call, *args, **more):
    try:
        call(*args, **more)
    except ApiException as refused:
        return refused.data.error
    raise AssertionError("The call was not refused.")


keys = APIKeysApi(calling(KEY))
made = keys.create_key(ApiKeyCreate(name="Generated", scopes=["tests:read"]))
me = AuthenticationApi(calling(made.key)).get_auth_context()
assert me.key_id == made.id, me
listed = keys.list_keys(status="active", limit=2)
assert [key.id for key in listed.data] == [made.id, listed.data[1].id], listed
rotated = keys.rotate_key(made.id, rotation_request=RotationRequest(overlap_seconds=0))
assert rotated.key != made.key, "rotated"
log = EventsApi(calling(KEY)).list_events(key=made.id)
assert [event.action for event in log.data] == ["api_key.rotated", "api_key.issued"], log
revoked = keys.revoke_key(made.id, reason="leaked")
assert (revoked.status, revoked.revoked_reason) == ("revoked", "leaked"), revoked
refused = refusal(AuthenticationApi(calling(rotated.key)).get_auth_context)
assert refused.code == "api_key_invalid", refused

strange = refusal(AuthenticationApi(calling(KEY, STUB)).get_auth_context)
assert strange.code == "code_of_tomorrow", strange
(key,) = APIKeysApi(calling(KEY, STUB)).list_keys().data
assert key.status == "hibernating", key
