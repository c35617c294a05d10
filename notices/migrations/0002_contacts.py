from django.db import migrations

# Windows need not survive a crash of the database.
MAKE_UNLOGGED = "ALTER TABLE notices_reportwindow SET UNLOGGED"
MAKE_LOGGED = "ALTER TABLE notices_reportwindow SET LOGGED"

# An organization is found by its name and its contacts, in one column with one index. Old code
# that runs beside this migration reads `contact_email`, which therefore holds the first contact.
MAKE = """
    CREATE OR REPLACE FUNCTION accounts_organization_search_text() RETURNS trigger
    LANGUAGE plpgsql AS $$
    DECLARE
        emails text[] := ARRAY(
            SELECT email FROM notices_contact
             WHERE organization_id = NEW.id AND removed_at IS NULL ORDER BY id);
    BEGIN
        NEW.contact_email := coalesce(emails[1], '');
        NEW.search_text := search_fold(NEW.name || ' ' || array_to_string(emails, ' '));
        RETURN NEW;
    END $$;

    CREATE FUNCTION notices_contact_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE accounts_organization SET search_text = '' WHERE id = NEW.organization_id;
        RETURN NULL;
    END $$;
    CREATE TRIGGER contact_search_text AFTER INSERT OR UPDATE ON notices_contact
        FOR EACH ROW EXECUTE FUNCTION notices_contact_search_text();
"""
DROP = """
    DROP TRIGGER contact_search_text ON notices_contact;
    DROP FUNCTION notices_contact_search_text();
    CREATE OR REPLACE FUNCTION accounts_organization_search_text() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        NEW.search_text := search_fold(NEW.name || ' ' || NEW.contact_email);
        RETURN NEW;
    END $$;
"""
# Staff had entered them.
COPY = """
    WITH copied AS (
        INSERT INTO notices_contact (organization_id, email, created_at, verified_at)
        SELECT id, lower(contact_email), now(), now()
          FROM accounts_organization WHERE contact_email <> ''
     RETURNING organization_id
    )
    UPDATE audit_audithead SET has_destination = true
     WHERE organization_id IN (SELECT organization_id FROM copied);
"""


class Migration(migrations.Migration):
    dependencies = [("notices", "0001_initial"), ("accounts", "0006_contacts")]
    operations = [
        migrations.RunSQL(MAKE_UNLOGGED, MAKE_LOGGED),
        migrations.RunSQL(COPY, migrations.RunSQL.noop),
        migrations.RunSQL(MAKE, DROP),
    ]
