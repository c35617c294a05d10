"""A real PostgreSQL for development and tests, used if DATABASE_URL is not set."""
