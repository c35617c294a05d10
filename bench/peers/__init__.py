"""The Django project of everything that is not ours: one file a peer, all on the same data.

Each is written as its package's documentation shows it, or as the books do, by somebody who knows
Django: connections are kept, DEBUG is off, nothing runs that the answer does not need.
"""
