from django.db import migrations, models

# The extension is a trusted one: the owner of the database may create it. What follows is no part
# of a model, so that the first migration can be written anew without it.
# The marks are those of the blocks of combining diacritical marks.
MAKE = r"""
    CREATE EXTENSION IF NOT EXISTS pg_trgm;

    CREATE FUNCTION search_fold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
        SELECT lower(regexp_replace(
            normalize($1, NFKD),
            '[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]', '', 'g'))
    $$;

    CREATE FUNCTION accounts_organization_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.search_text := search_fold(NEW.name || ' ' || NEW.contact_email);
        RETURN NEW;
    END $$;
    CREATE TRIGGER organization_search_text
        BEFORE INSERT OR UPDATE OF name, contact_email, search_text ON accounts_organization
        FOR EACH ROW EXECUTE FUNCTION accounts_organization_search_text();
    UPDATE accounts_organization SET search_text = '';

    CREATE INDEX audit_event_words ON accounts_auditevent
        USING gin (search_fold(actor_label || ' ' || reason) gin_trgm_ops);
"""
DROP = """
    DROP INDEX audit_event_words;
    DROP TRIGGER organization_search_text ON accounts_organization;
    DROP FUNCTION accounts_organization_search_text();
    DROP FUNCTION search_fold(text);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_user_sso_name")]
    operations = [
        migrations.AddField(
            model_name="organization",
            name="search_text",
            field=models.TextField(default="", editable=False),
        ),
        migrations.RunSQL(MAKE, DROP),
    ]
