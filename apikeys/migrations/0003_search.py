from django.db import migrations

# For names that hold a word anywhere. The extension is a trusted one: the owner of the database may
# create it. It is no part of a model, so that the first migration can be written anew without it.
MAKE_INDEX = """
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX api_key_name_search ON apikeys_apikey USING gin (upper(name) gin_trgm_ops);
"""
DROP_INDEX = """
    DROP INDEX api_key_name_search;
    DROP EXTENSION pg_trgm;
"""


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0002_staff_groups")]
    operations = [migrations.RunSQL(MAKE_INDEX, DROP_INDEX)]
