"""Points in time as staff compare them with logs: to the second, in UTC, and saying so."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s e"
