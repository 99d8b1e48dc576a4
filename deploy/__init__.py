"""Sets the product up, starts it here, describes it for servers."""
