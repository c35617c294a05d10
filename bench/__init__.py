"""How fast is an authenticated call here, next to what people would otherwise use?

`make bench` runs `compare`, `make bench-growth` runs `growth`, `make bench-profile` runs
`profile_ours`. `variants` says what is compared, `peers/` is the Django project of everything that
is not ours. Nothing of this is imported by the product. docs/performance.md explains the results.
"""
