from django.db import migrations

# A key is found by its name and its organization's name and contact, in one column: words of both
# in one search take one index. Every verb that changes one of them holds the organization's lock,
# so that a key which is issued meanwhile cannot keep the old ones. The trigger names no columns:
# PostgreSQL refuses to change the type of one that a trigger names.
MAKE = """
    CREATE FUNCTION apikeys_apikey_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.search_text := search_fold(NEW.name) || ' ' || (
            SELECT search_text FROM accounts_organization WHERE id = NEW.organization_id);
        RETURN NEW;
    END $$;
    CREATE TRIGGER api_key_search_text
        BEFORE INSERT OR UPDATE ON apikeys_apikey
        FOR EACH ROW EXECUTE FUNCTION apikeys_apikey_search_text();

    CREATE FUNCTION apikeys_of_renamed_organization() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE apikeys_apikey SET search_text = '' WHERE organization_id = NEW.id;
        RETURN NULL;
    END $$;
    CREATE TRIGGER organization_search_text_of_keys
        AFTER UPDATE ON accounts_organization
        FOR EACH ROW WHEN (OLD.search_text <> NEW.search_text)
        EXECUTE FUNCTION apikeys_of_renamed_organization();

    CREATE INDEX api_key_search ON apikeys_apikey USING gin (search_text gin_trgm_ops);
"""
DROP = """
    DROP INDEX api_key_search;
    DROP TRIGGER organization_search_text_of_keys ON accounts_organization;
    DROP TRIGGER api_key_search_text ON apikeys_apikey;
    DROP FUNCTION apikeys_of_renamed_organization();
    DROP FUNCTION apikeys_apikey_search_text();
"""


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0001_initial"), ("accounts", "0004_search")]
    operations = [migrations.RunSQL(MAKE, DROP)]
