from django.db import migrations

# What verbs store from now on, for rows that are there already: an end is the second as which it is
# shown, and a name is found typed composed or not. A name that would become too long
# stays as it is.
MEND = """
    UPDATE apikeys_keysecret SET expires_at = date_trunc('second', expires_at)
     WHERE expires_at <> date_trunc('second', expires_at);
    UPDATE apikeys_apikey SET expires_at = date_trunc('second', expires_at)
     WHERE expires_at <> date_trunc('second', expires_at)
       AND date_trunc('second', expires_at) > created_at;
    UPDATE apikeys_apikey SET name = normalize(name)
     WHERE name IS NOT NORMALIZED AND length(normalize(name)) <= 100;
"""


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0003_search")]
    operations = [migrations.RunSQL(MEND, migrations.RunSQL.noop)]
