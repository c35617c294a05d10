from django.db import migrations

# The guard is for what was sealed. `has_destination` beside it changes by itself.
GUARD = """
    DROP TRIGGER audit_head_one_step ON audit_audithead;
    CREATE TRIGGER audit_head_one_step
        BEFORE UPDATE {of}ON audit_audithead
        FOR EACH ROW EXECUTE FUNCTION audit_one_step();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0006_outbox")]
    operations = [
        migrations.RunSQL(
            GUARD.format(of="OF organization_id, sequence, seal "), GUARD.format(of="")
        )
    ]
