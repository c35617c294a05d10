"""A sibling service: tests and domains, the way another team would build them on this one.

docs/siblings.md is its guide. No part of the product: only tests/settings.py installs it.
"""
