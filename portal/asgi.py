"""What the web server runs."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

_django = get_asgi_application()

# Only now: models can be imported once Django is set up. The catalogue is read at the start, so
# that the first visitor does not wait for it.
from agent.places import catalogue  # noqa: E402
from portal.api.quick import QuickDecisions  # noqa: E402

catalogue()

application = QuickDecisions(_django)
