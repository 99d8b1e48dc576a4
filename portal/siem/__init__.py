"""Copies ledgers to the places that tenants name: files, Splunk, syslog."""
