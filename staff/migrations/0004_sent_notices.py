from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from staff.groups import make_groups


def give_right(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    make_groups(apps)


class Migration(migrations.Migration):
    dependencies = [("staff", "0003_second_factor"), ("notices", "0001_initial")]
    operations = [migrations.RunPython(give_right, migrations.RunPython.noop)]
