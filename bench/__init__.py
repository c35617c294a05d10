"""How fast is an authenticated call here, next to what people would otherwise use?

`python -m bench results` or `profile`; `growth/` is about much of everything. `table` says what is
measured, `peers/` is the Django project of everything that is not ours. The product imports nothing
of this. docs/performance.md explains the results.
"""
