from apikeys.models.api_key import ApiKey, KeyStatus
from apikeys.models.counters import KeyDay, KeyMonth, ScopeGrant
from apikeys.models.key_secret import KeySecret
from apikeys.models.remembered_request import RememberedRequest

__all__ = [
    "ApiKey",
    "KeyDay",
    "KeyMonth",
    "KeySecret",
    "KeyStatus",
    "RememberedRequest",
    "ScopeGrant",
]
