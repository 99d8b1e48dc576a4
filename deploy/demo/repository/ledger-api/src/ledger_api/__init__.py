"""Double-entry books of Globex Finance."""
