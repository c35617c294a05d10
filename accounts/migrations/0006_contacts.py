from django.db import migrations

# Contacts are rows of `notices`. The column stays for old code that runs beside this migration.
KEEP_COLUMN = "ALTER TABLE accounts_organization ALTER contact_email SET DEFAULT ''"
UNDO = "ALTER TABLE accounts_organization ALTER contact_email DROP DEFAULT"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_on_leak")]
    operations = [
        migrations.RunSQL(
            KEEP_COLUMN,
            UNDO,
            state_operations=[migrations.RemoveField("organization", "contact_email")],
        )
    ]
