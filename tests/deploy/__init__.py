"""The product's set-up, its own servers, its description for other machines."""
