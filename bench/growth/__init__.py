"""What happens as everything grows: `python -m bench.growth [PART…]` writes bench/GROWTH.md.

Each part is measured and kept by itself, because all of them take hours. docs/scale.md says what
follows from the figures.
"""
