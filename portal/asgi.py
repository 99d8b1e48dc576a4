"""What the web server runs."""

import gc
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

_django = get_asgi_application()

# Only now: models can be imported once Django is set up. The catalogue is read at the start, so
# that the first visitor does not wait for it.
from agent.places import catalogue  # noqa: E402
from portal.api.quick import QuickDecisions  # noqa: E402

catalogue()

# All that is loaded by now stays. To look through it for garbage, 400,000 objects, takes a quarter
# of a second of a core, and every request of this process waits for that.
gc.collect()
gc.freeze()

application = QuickDecisions(_django)
