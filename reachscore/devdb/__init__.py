"""A real PostgreSQL for development and tests, where DATABASE_URL is not set."""
