"""What text may hold."""

from typing import Annotated

from pydantic import Field

# PostgreSQL keeps every character but this one.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
