"""Readers that turn foreign files into models, and our own models."""
