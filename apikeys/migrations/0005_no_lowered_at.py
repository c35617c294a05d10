from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0004_whole_seconds_and_nfc")]
    operations = [migrations.RemoveField(model_name="apikey", name="lowered_at")]
