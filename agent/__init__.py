"""The agent does the work: plan, act, verify, and recommend."""
