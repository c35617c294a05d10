from django.db import migrations

# A window lasts a minute, so it need not survive a crash of the database. The fillfactor leaves room
# in each page for HOT updates, because every request updates its organization's row.
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
