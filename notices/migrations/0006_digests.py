import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notices", "0005_contacts")]
    operations = [
        migrations.RemoveField("leakreport", "digests"),
        migrations.AddField(
            "leakreport",
            "digests",
            django.contrib.postgres.fields.ArrayField(
                models.BinaryField(), help_text="Of each key, under every pepper.", default=list
            ),
            preserve_default=False,
        ),
    ]
