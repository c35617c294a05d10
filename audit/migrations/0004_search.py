from django.db import migrations

# What staff search in, folded: `Zoe` finds `Zoë`. The marks are those of the blocks of combining
# diacritical marks. The extension is a trusted one: the owner of the database may create it.
MAKE = r"""
    CREATE EXTENSION IF NOT EXISTS pg_trgm;

    CREATE FUNCTION search_fold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
        SELECT lower(regexp_replace(
            normalize($1, NFKD),
            '[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]', '', 'g'))
    $$;

    CREATE INDEX audit_event_words ON audit_auditevent
        USING gin (search_fold(actor_label || ' ' || reason) gin_trgm_ops);
"""
DROP = """
    DROP INDEX audit_event_words;
    DROP FUNCTION search_fold(text);
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_service_log")]
    operations = [migrations.RunSQL(MAKE, DROP)]
