from django.db import migrations

# Statement triggers, so that TRUNCATE fires them too, and a statement that finds no row is refused
# like any other. The runtime role owns no table and cannot disable them; see deploy/roles.sql. The
# owner can, and then `manage.py verify_audit` shows what was done.
ADD_TRIGGERS = """
    CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'The audit log is append-only.'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END $$;

    CREATE TRIGGER audit_event_append_only
        BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_auditevent
        FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
    CREATE TRIGGER audit_head_stays
        BEFORE DELETE OR TRUNCATE ON audit_audithead
        FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

    CREATE FUNCTION audit_one_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.organization_id <> OLD.organization_id OR NEW.sequence <> OLD.sequence + 1 THEN
            RAISE EXCEPTION 'The head of an audit log moves one event forward at a time.'
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END $$;

    CREATE TRIGGER audit_head_one_step
        BEFORE UPDATE ON audit_audithead
        FOR EACH ROW EXECUTE FUNCTION audit_one_step();
"""
DROP_TRIGGERS = """
    DROP TRIGGER audit_head_one_step ON audit_audithead;
    DROP TRIGGER audit_head_stays ON audit_audithead;
    DROP TRIGGER audit_event_append_only ON audit_auditevent;
    DROP FUNCTION audit_one_step();
    DROP FUNCTION audit_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunSQL(ADD_TRIGGERS, DROP_TRIGGERS)]
