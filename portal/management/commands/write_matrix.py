"""Writes the permission matrix into docs/authorization.md, from the model."""

import re
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from authz.matrix import table

PAGE = settings.BASE_DIR / "docs" / "authorization.md"
BETWEEN = re.compile(r"(?<=<!-- matrix -->\n\n).*?(?=\n\n<!-- end of matrix -->)", re.DOTALL)


class Command(BaseCommand):
    """Needs no database. A test fails while the page has the matrix of another version."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        said = PAGE.read_text()
        matrix = table()
        PAGE.write_text(BETWEEN.sub(lambda _: matrix, said))
        self.stdout.write(f"{PAGE.name}: {matrix.count(chr(10)) - 1} permissions")
