"""Who gets into the admin, how long they stay, and what is recorded of it."""
