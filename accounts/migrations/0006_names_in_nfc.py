from django.db import migrations

# As `clean_line` writes names from now on. One that would become too long stays as it is.
COMPOSE = """
    UPDATE accounts_organization SET name = normalize(name)
     WHERE name IS NOT NORMALIZED AND length(normalize(name)) <= 100;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_service_log")]
    operations = [migrations.RunSQL(COMPOSE, migrations.RunSQL.noop)]
