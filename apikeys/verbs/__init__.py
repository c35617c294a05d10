"""The verbs: functions that change keys, for the API, the admin and commands alike.

Each verb locks the organization's audit log, reads the acting key and the target again, checks
authority, acts, and records its event in the same transaction. An actor that is itself a key acts
only within its own organization and mode, and gives nothing that it does not hold at that moment
(`ceiling`); staff and commands have no ceiling. Each verb can also raise what `ActingKey.of`
raises for an actor that has lost its authority since it authenticated.
"""
