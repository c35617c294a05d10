from django.db import migrations

MAKE = """
    CREATE FUNCTION accounts_organization_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.search_text := search_fold(NEW.name || ' ' || NEW.contact_email);
        RETURN NEW;
    END $$;
    CREATE TRIGGER organization_search_text
        BEFORE INSERT OR UPDATE ON accounts_organization
        FOR EACH ROW EXECUTE FUNCTION accounts_organization_search_text();
"""
DROP = """
    DROP TRIGGER organization_search_text ON accounts_organization;
    DROP FUNCTION accounts_organization_search_text();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_unlogged"), ("audit", "0004_search")]
    operations = [migrations.RunSQL(MAKE, DROP)]
