"""What our admin pages share: rows are read there, and changed through verbs only."""
