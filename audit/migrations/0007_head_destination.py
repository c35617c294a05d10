from django.db import migrations

# The guard is for what is sealed: `has_destination` beside it changes by itself. The trigger names
# no columns, because PostgreSQL refuses to change the type of one that a trigger names.
GUARD = """
    CREATE OR REPLACE FUNCTION audit_one_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.organization_id <> OLD.organization_id OR {moves} THEN
            RAISE EXCEPTION 'The head of an audit log moves one event forward at a time.'
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END $$;
"""
ONE_STEP = "NEW.sequence <> OLD.sequence + 1"
STAYS = "(NEW.sequence, NEW.seal) IS DISTINCT FROM (OLD.sequence, OLD.seal)"


class Migration(migrations.Migration):
    dependencies = [("audit", "0006_outbox")]
    operations = [
        migrations.RunSQL(
            GUARD.format(moves=f"({ONE_STEP} AND {STAYS})"), GUARD.format(moves=ONE_STEP)
        )
    ]
