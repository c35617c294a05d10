from django.db import migrations

# A window is worth nothing after a minute, so it need not survive a crash of the database. Room is
# left in each page, because every request writes its organization's row anew.
MAKE_UNLOGGED = """
    ALTER TABLE accounts_ratewindow SET UNLOGGED;
    ALTER TABLE accounts_ratewindow SET (fillfactor = 50);
"""
MAKE_LOGGED = """
    ALTER TABLE accounts_ratewindow RESET (fillfactor);
    ALTER TABLE accounts_ratewindow SET LOGGED;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_plans")]
    operations = [migrations.RunSQL(MAKE_UNLOGGED, MAKE_LOGGED)]
