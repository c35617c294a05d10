from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SERVICE = "service"  # As accounts.models.SERVICE.


def add_head(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("accounts", "AuditHead").objects.get_or_create(organization_id=SERVICE)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_unlogged")]
    operations = [migrations.RunPython(add_head, migrations.RunPython.noop)]
