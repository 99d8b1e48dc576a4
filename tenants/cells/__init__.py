"""Where each tenant's data lives: the one list of cells, tenants, hosts."""
