"""Pipelines of jwst with slots changed, and our own."""
