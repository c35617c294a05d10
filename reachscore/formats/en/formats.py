"""Date formats of the admin: to the second, with the zone, so that staff can compare with logs."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s e"
