"""Measurements, figures and reports around the steps."""
