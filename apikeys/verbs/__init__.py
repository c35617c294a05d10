"""The verbs: functions that change keys, for the API, the admin and commands alike.

Each verb locks the organization's audit log, reads the acting key and the target again, checks
authority, acts, and records its event in the same transaction. An actor that is itself a key acts
only within its own organization and mode, and gives nothing that it does not hold at that moment
(`ceiling`); staff and commands have no ceiling.

A verb's docstring names what it raises beside this:
    ParameterInvalid, ContainsApiKey: for a field or the reason.
    ManagingTakesAllScopes, ResourceNotFound: if the acting key does not reach the target.
    What `ActingKey.of` raises, for an actor that has lost its authority since it authenticated.
"""
