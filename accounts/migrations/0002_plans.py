from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from accounts.models.plan import PLANS


def add_plans(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    plan = apps.get_model("accounts", "Plan")
    plan.objects.bulk_create([plan(**columns) for columns in PLANS])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(add_plans, migrations.RunPython.noop)]
